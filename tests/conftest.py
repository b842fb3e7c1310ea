"""Settings of every test: strict shapes, several virtual CPU devices, Keras (the oracle) on JAX."""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"  # before anything imports keras
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # nothing into the user's cache folder

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """The folder of a run: a network that has learned the digits."""
    from experiments.train import main as train

    workdir = tmp_path_factory.mktemp("runs") / "mlp-digits"
    train(model="mlp", epochs=15, workdir=workdir, devices=1)
    return workdir


@pytest.fixture
def run(monkeypatch, capsys):
    """Calls the command line with these arguments; returns (exit code, stdout, stderr)."""
    from jaxnets.commands import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["jaxnets", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call
