"""Runs that are killed or told to stop, wherever it hits them, end with the bits of an unbroken one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets.train import Checkpoints

SCRIPT = Path(__file__).with_name("killable.py")
LINES = ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy")


def start(workdir: Path, *moment: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, str(SCRIPT), str(workdir), *moment]
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # a killed process would leave half a program there
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, **environment}, **pipes)


def finish(workdir: Path, *moment: str, **environment: str) -> tuple[int, str]:
    process = start(workdir, *moment, **environment)
    _, err = process.communicate(timeout=600)
    return process.returncode, err


def contents(workdir: Path):
    """Everything that a run leaves and that does not tell the time."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    found = [[line[name] for name in LINES] for line in lines]
    for folder in ("checkpoints", "best"):
        with Checkpoints(workdir / folder) as checkpoints:
            found.append(checkpoints._read(checkpoints.latest, None)[0])
    return found


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "unbroken"
    code, err = finish(workdir)
    assert code == 0, err
    return contents(workdir)


def test_killed_in_a_step_in_a_save_and_in_an_evaluation(unbroken, tmp_path):
    for moment in (("step", "20"), ("save", "2"), ("eval", "10")):
        code, err = finish(tmp_path, "KILL", *moment)
        assert code == -signal.SIGKILL, err
    code, err = finish(tmp_path)
    assert code == 0, err
    assert_same(contents(tmp_path), unbroken)


@pytest.mark.slow
def test_told_to_stop_while_compiling_in_a_step_and_in_an_evaluation(unbroken, tmp_path):
    for name, expected, *moment in (
        ("TERM", 0, "compile", "1"),
        ("INT", 130, "step", "30"),
        ("TERM", 0, "eval", "18"),
    ):
        code, err = finish(tmp_path, name, *moment)
        assert code == expected, err
        assert "give the same command again to continue" in err.splitlines()[-1]
    code, err = finish(tmp_path)
    assert code == 0, err
    assert_same(contents(tmp_path), unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("name, moment", [("INT", ("step", "30")), ("TERM", ("eval", "18"))])
def test_a_stop_takes_no_longer_than_what_is_running(name, moment, tmp_path):
    """A step, a save and Python's own end: 20 s allow for a machine with ten times more to do than cores."""
    process = start(tmp_path, name, *moment)
    out, err = process.communicate(timeout=600)
    assert time.time() - float(out.splitlines()[-1]) < 20, err


def kill_at_random(workdir: Path, times: int, rng: random.Random, **environment: str) -> None:
    """Kills so many runs at random moments after their first compilation, each continuing the one before."""
    for _ in range(times):
        process = start(workdir, **environment)
        before = len((workdir / "metrics.jsonl").read_text().splitlines()) if workdir.exists() else 0
        while process.poll() is None:  # until it trains
            log = workdir / "metrics.jsonl"
            if log.exists() and len(log.read_text().splitlines()) > before:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments(unbroken, tmp_path):
    for chain in range(5):
        kill_at_random(tmp_path / str(chain), 4, random.Random(chain))
        code, err = finish(tmp_path / str(chain))
        assert code == 0, err
        assert_same(contents(tmp_path / str(chain)), unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"RESIDENT": "1"}, {"STEPS_PER_CALL": "4"}], ids=["resident", "together"])
def test_killed_while_the_data_lies_on_the_device_or_steps_are_one_program(how, tmp_path):
    code, err = finish(tmp_path / "unbroken", **how)
    assert code == 0, err
    kill_at_random(tmp_path / "killed", 3, random.Random(9), **how)
    code, err = finish(tmp_path / "killed", **how)
    assert code == 0, err
    assert_same(contents(tmp_path / "killed"), contents(tmp_path / "unbroken"))


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    """The first, in the midst of a callback that would sleep for an hour, only asks."""
    code = """
import signal, sys, time
sys.path[:0] = [{tests!r}]
import killable
from jaxnets import train
from jaxnets.cli import commandline
from pathlib import Path
fit = train.fit
def slow(*args, **more):
    return fit(*args, **more | {{"callbacks": [Slow()]}})
class Slow(train.Callback):
    def on_step_end(self, state, sums):
        print("in a step", flush=True)
        sleep()
def sleep():
    while signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:  # until the first has come
        time.sleep(0.01)
    print("asked", flush=True)
    time.sleep(3600)
train.fit = slow
commandline.run(lambda: killable.main(Path({workdir!r}), killable.Moments()))
""".format(tests=str(SCRIPT.parent), workdir=str(tmp_path / "run"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in a step\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=600) == -signal.SIGINT
    process.stdout.close()


def test_a_disk_that_fills_up_while_saving_leaves_the_last_good_checkpoint(tmp_path):
    """No file may grow past 1,000 bytes, as on a disk without room; Orbax's threads speak meanwhile."""
    code, err = finish(tmp_path, "TERM", "step", "14")
    assert code == 0, err
    code = f"""
import resource, sys
sys.path[:0] = [{str(SCRIPT.parent)!r}]
import killable
from jaxnets.cli import commandline
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
commandline.run(lambda: killable.main(Path({str(tmp_path)!r}), killable.Moments()))
"""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}  # what the threads write comes in small pieces
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "cannot save a checkpoint in" in line
    assert "make room" in line
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 14
        assert checkpoints.restore_variables() is not None
