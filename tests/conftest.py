"""Settings of every test: CPUs as eight virtual devices, strict shapes, Keras (the oracle) on JAX.

Tests run on the CPU, whatever else a machine has. `JAX_PLATFORMS=cuda,cpu python -m pytest` has them run on a
GPU, in full float32: by default JAX multiplies float32 there as TF32, whose 10 bits are too few to compare.
"""

import faulthandler
import os
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

# Shells start what runs in the background with Ctrl-C ignored, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if os.environ.setdefault("JAX_PLATFORMS", "cpu") != "cpu":
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else the first process takes the memory
os.environ["KERAS_BACKEND"] = "jax"  # before anything imports keras
os.environ.setdefault("MPLBACKEND", "agg")
if "PYTEST_XDIST_WORKER" not in os.environ:  # what is compiled once need not be again, by whichever process
    PROGRAMS = tempfile.TemporaryDirectory(prefix="jaxnets-tests-")  # removed at the end
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS.name
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = "4000000000"  # with a limit JAX locks the folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
    CRASHES = tempfile.TemporaryDirectory(prefix="jaxnets-crashes-")
    os.environ["JAXNETS_TEST_CRASHES"] = CRASHES.name
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # else every program read is a page in the log (`keep_programs`)

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of the cases of a test marked `sampled(n)`, every n-th runs by default and the rest with `-m slow`.

    Every n-th alone may always miss a value of an argument, such as "same" padding: of the values that
    several cases share each runs at least once.
    """
    tests = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("slow"):
            tests[item.nodeid.split("[")[0]].append(item)
    for cases in tests.values():
        values = [{(name, repr(value)) for name, value in case.callspec.params.items()} for case in cases]
        occurs, met = Counter(chain.from_iterable(values)), set()
        for index, (case, own) in enumerate(zip(cases, values, strict=True)):
            new = {value for value in own - met if occurs[value] > 1}
            if new or index % case.get_closest_marker("sampled").args[0] == 0:
                met |= own
            else:
                case.add_marker(pytest.mark.slow)


CRASHED = []  # the workers that did, by name


def pytest_sessionstart(session):
    """A worker that crashes writes where it was into a file: what it prints is far from the summary."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        faulthandler.enable(os.open(traceback_of(worker), os.O_WRONLY | os.O_CREAT))  # open to the end


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    if error:
        CRASHED.append(node.gateway.id)


def pytest_terminal_summary(terminalreporter):
    for worker in CRASHED:
        terminalreporter.section(f"where {worker} crashed")
        left = traceback_of(worker).read_text(encoding="utf-8", errors="replace")
        terminalreporter.write_line(
            left or "No traceback: probably killed from outside, as happens when memory runs out."
        )


def traceback_of(worker):
    return Path(os.environ["JAXNETS_TEST_CRASHES"], f"{worker}.txt")


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
    from jaxnets.cli.commands import main

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
