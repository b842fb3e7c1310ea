"""Several processes train as one does: the real script, two processes of two devices each."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from jaxnets.errors import UserError
from jaxnets.train import join, make_mesh

SCRIPT = Path(__file__).parents[2] / "experiments" / "train.py"
NAMES = ("loss", "accuracy", "val_loss", "val_accuracy")


def start(
    workdir: Path, *more: str, devices: int = 1, epochs: int = 1, model: str = "mlp"
) -> subprocess.Popen:
    # Where max pooling meets two numbers that are all but equal, rounding would decide: the mlp has none.
    settings = ("--model", model, "--optimizer", "sgd", "--learning-rate", "0.05", "--epochs", str(epochs))
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *settings, "--workdir", str(workdir), *more],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes: subprocess.Popen, code: int = 0) -> list[str]:
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [code] * len(processes), said
    return said


def pair(workdir: Path, epochs: int = 1, model: str = "mlp") -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [
        start(workdir, "--distributed", f"{address},2,{index}", devices=2, epochs=epochs, model=model)
        for index in range(2)
    ]


def measured(workdir: Path) -> list[dict[str, float]]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [{name: json.loads(line)[name] for name in NAMES} for line in lines]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone")
    finish(start(workdir / "run", epochs=2))
    return measured(workdir / "run")


def test_two_processes_of_two_devices_are_one_run_that_goes_on_elsewhere(alone, tmp_path):
    said = finish(*pair(tmp_path / "run"))
    assert ["held out" in text for text in said] == [True, False]  # only one speaks
    assert measured(tmp_path / "run") == [pytest.approx(alone[0], rel=1e-6)]
    shutil.copytree(tmp_path / "run", tmp_path / "four")
    finish(start(tmp_path / "run", epochs=2))
    finish(start(tmp_path / "four", devices=4, epochs=2))
    for workdir in (tmp_path / "run", tmp_path / "four"):
        assert measured(workdir)[1] == pytest.approx(alone[1], rel=1e-6)


@pytest.mark.slow
def test_a_folder_of_another_run_stops_both_at_once(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "lenet5"}')
    processes = pair(tmp_path)
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert "holds a run with" in said[0]
    assert "error: process 0 has stopped: see what it says" in said[1]


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_pair_told_to_stop_stops_at_one_step_and_goes_on(tmp_path, number, code):
    """With the numbers of an unbroken pair, in a training that takes its time."""
    finish(*pair(tmp_path / "unbroken", epochs=2, model="lenet5"))
    processes = pair(tmp_path / "run", epochs=2, model="lenet5")
    while not (tmp_path / "run" / "checkpoints").exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)
    time.sleep(2)
    processes[1].send_signal(number)
    said = finish(*processes, code=code)
    assert "give the same command again to continue" in said[0]
    finish(*pair(tmp_path / "run", epochs=2, model="lenet5"))
    unbroken = measured(tmp_path / "unbroken")
    assert measured(tmp_path / "run") == [pytest.approx(line, rel=1e-6) for line in unbroken]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside_by_one_of_two(alone, tmp_path):
    finish(start(tmp_path / "run", epochs=1))
    finish(start(tmp_path / "run", epochs=2))
    *_, newest = sorted((tmp_path / "run" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for file in newest.rglob("*"):
        if file.is_file() and "d" in file.parts:
            file.write_bytes(file.read_bytes()[:10])
    said = finish(*pair(tmp_path / "run", epochs=2))
    assert [f"step {newest.name} is damaged" in text for text in said] == [True, False]
    aside = [path.name for path in (tmp_path / "run" / "checkpoints-damaged").iterdir()]
    assert aside == [newest.name]
    assert measured(tmp_path / "run") == [pytest.approx(line, rel=1e-6) for line in alone]


@pytest.mark.slow
def test_a_lost_process_ends_the_run_and_the_same_commands_continue(alone, tmp_path):
    processes = pair(tmp_path / "run", epochs=2)
    while not list((tmp_path / "run").glob("checkpoints/[0-9]*[0-9]")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)
    processes[1].kill()
    said, _ = processes[0].communicate(timeout=240)
    assert processes[0].returncode != 0
    assert said.strip()
    processes[1].communicate()
    finish(*pair(tmp_path / "run", epochs=2))
    assert measured(tmp_path / "run") == [pytest.approx(line, rel=1e-6) for line in alone]


def test_what_is_wrong_is_one_sentence():
    with pytest.raises(UserError, match=r"cannot join the other processes by 'here' .*HOST:PORT,COUNT,INDEX"):
        join("here")
    with pytest.raises(UserError, match=f"99 devices: there are {jax.device_count()}"):
        make_mesh(99)
    assert make_mesh(1) is None
