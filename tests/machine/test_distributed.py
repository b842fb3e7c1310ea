"""Several processes train as one does: the real script, a device or two for each, killed and resumed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets.errors import UserError
from jaxnets.machine import distributed
from jaxnets.train import join, make_mesh
from jaxnets.train.io import interrupt
from jaxnets.train.io.integrity import digest

SCRIPT = Path(__file__).parents[2] / "experiments" / "train.py"
HELD_OUT = 359  # digits

# Processes add up the same float32 numbers in another order: a gradient differs by some units in the last
# place (6e-8), and SGD on a smooth network does not enlarge that much. Measured: 4e-7 at most after 30 epochs
# on jax 0.10.1 and 0.12: the rest is room for other processors. With a shard lost the first loss is 8% off.
LOSS = 1e-5
LONG = 30  # epochs, so that there is time to kill a run
ONE_EXAMPLE = 1.01 / HELD_OUT  # whose two best classes may be that close


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


def address() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def several(workdir: Path, count: int, *more: str, **settings) -> list[subprocess.Popen]:
    """So many processes of one run; one of them as a user of one process starts it."""
    if count == 1:
        return [start(workdir, *more, **settings)]
    where = address()
    return [
        start(workdir, "--distributed", f"{where},{count},{index}", *more, **settings)
        for index in range(count)
    ]


def finish(*processes: subprocess.Popen, code: int = 0) -> list[str]:
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [code] * len(processes), said
    return said


def wait_for(processes: list[subprocess.Popen], happened) -> None:
    while not happened():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def records(workdir: Path) -> list[dict[str, float]]:
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def agree(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert [record["step"] for record in found] == [record["step"] for record in expected]
    for one, other in zip(found, expected, strict=True):
        for name in ("loss", "val_loss"):
            assert one[name] == pytest.approx(other[name], rel=LOSS)
        for name in ("accuracy", "val_accuracy"):
            assert one[name] == pytest.approx(other[name], abs=ONE_EXAMPLE)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone")
    finish(start(workdir / "run", epochs=4))
    return records(workdir / "run")


@pytest.fixture(scope="module")
def long_alone(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("long")
    finish(start(workdir / "run", epochs=LONG))
    return records(workdir / "run")


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param([(2, 1), (1, 1)], id="two, one"),
        pytest.param([(3, 1), (2, 1), (1, 1)], id="three, two, one", marks=pytest.mark.slow),
        pytest.param(
            [(1, 1), (2, 2), (1, 4), (2, 1)], id="one, two of two, four devices, two", marks=pytest.mark.slow
        ),
    ],
)
@pytest.mark.slow
def test_a_run_goes_on_with_other_processes_and_devices(alone, tmp_path, run, chain):
    """An epoch with each (processes, devices of each): the numbers of one process."""
    for epochs, (count, devices) in enumerate(chain, start=1):
        said = finish(*several(tmp_path / "run", count, devices=devices, epochs=epochs))
        assert ["held out" in text for text in said] == [
            index == 0 for index in range(count)
        ]  # only one speaks
        agree(records(tmp_path / "run"), alone[:epochs])
        code, out, _ = run("evaluate", tmp_path / "run", "--json")  # here, on other devices
        assert code == 0
        assert json.loads(out)["loss"] == pytest.approx(alone[epochs - 1]["val_loss"], rel=LOSS)
    code, out, _ = run("predict", tmp_path / "run", tmp_path / "run" / "example.png")
    assert code == 0
    assert "example.png: " in out


@pytest.mark.slow
def test_states_split_over_processes_are_those_of_one_process(alone, tmp_path):
    """On two processes with two devices each, on one with two, on two with one each, and on one device."""
    for epochs, (count, devices) in enumerate([(2, 2), (1, 2), (2, 1), (1, 1)], start=1):
        more = ("--sharding", "fsdp", "--best", "val_loss", "--tensorboard")
        finish(*several(tmp_path / "run", count, *more, devices=devices, epochs=epochs))
        agree(records(tmp_path / "run"), alone[:epochs])


@pytest.mark.slow
def test_killed_processes_leave_a_run_that_fewer_continue(long_alone, tmp_path):
    """One of three is killed, and the others end; two go on, and are killed both; one ends the run."""
    workdir = tmp_path / "run"
    processes = several(workdir, 3, epochs=LONG)
    wait_for(processes, lambda: len(records(workdir)) >= 3)
    processes[2].kill()
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert all(process.returncode != 0 for process in processes)
    assert all(text.strip() for text in said[:2])
    done = len(records(workdir))
    assert done < LONG
    processes = several(workdir, 2, epochs=LONG)
    wait_for(processes, lambda: len(records(workdir)) >= done + 3)
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()
    assert len(records(workdir)) < LONG
    finish(*several(workdir, 1, epochs=LONG))
    agree(records(workdir), long_alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, code, before, after",
    [
        pytest.param(signal.SIGTERM, 0, 3, 2, id="SIGTERM, three, two"),
        pytest.param(signal.SIGINT, 130, 2, 1, id="Ctrl-C, two, one"),
        pytest.param(signal.SIGTERM, 0, 1, 2, id="SIGTERM, one, two"),
    ],
)
def test_told_to_stop_they_stop_at_one_step_and_others_go_on(
    long_alone, tmp_path, number, code, before, after
):
    workdir = tmp_path / "run"
    processes = several(workdir, before, epochs=LONG)
    wait_for(processes, lambda: len(records(workdir)) >= 3)
    processes[-1].send_signal(number)
    said = finish(*processes, code=code)
    assert all("give the same command again to continue" in text for text in said), said
    assert len(records(workdir)) < LONG
    finish(*several(workdir, after, epochs=LONG))
    agree(records(workdir), long_alone)


@pytest.mark.slow
def test_a_folder_of_another_run_stops_both_at_once(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "lenet5"}')
    processes = several(tmp_path, 2)
    said = finish(*processes, code=2)
    assert "holds a run with" in said[0]
    assert "error: process 0 has stopped: see its message" in said[1]


@pytest.mark.slow
def test_another_command_in_one_of_them_stops_both_at_once(tmp_path):
    where = address()
    rates = ("0.1", "0.2")
    said = finish(
        *(
            start(tmp_path / "run", "--learning-rate", rate, "--distributed", f"{where},2,{index}")
            for index, rate in enumerate(rates)
        ),
        code=2,
    )
    assert all(
        "error: process 1 has other settings than process 0: give both the same" in text for text in said
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_one_that_fails_alone_ends_the_other_within_seconds(tmp_path, which):
    processes = several(tmp_path / "run", 2)
    processes[which].kill()
    processes[which].communicate()
    processes[which] = start(
        tmp_path / "run", "--dataset", "nowhere", "--distributed", processes[which].args[-1]
    )
    said = finish(*processes, code=2)
    assert said[which].splitlines()[-1].startswith("error: unknown data set 'nowhere'")
    assert said[1 - which].splitlines()[-1] == f"error: process {which} has stopped: see its message"


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_that_is_killed_is_named_by_the_others(tmp_path, which):
    workdir = tmp_path / "run"
    processes = several(workdir, 3, epochs=LONG)
    wait_for(processes, lambda: len(records(workdir)) >= 2)
    processes.pop(which).kill()
    for text in finish(*processes, code=2):
        assert text.splitlines()[-1].startswith(f"error: process {which} was killed, or its machine is lost")


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside_by_one_of_two(alone, tmp_path):
    finish(start(tmp_path / "run", epochs=1))
    finish(start(tmp_path / "run", epochs=2))
    *_, newest = sorted((tmp_path / "run" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for file in newest.rglob("*"):
        if file.is_file() and "d" in file.parts:
            file.write_bytes(file.read_bytes()[:10])
    said = finish(*several(tmp_path / "run", 2, epochs=2))
    assert [f"step {newest.name} is damaged" in text for text in said] == [True, False]
    aside = [path.name for path in (tmp_path / "run" / "checkpoints-damaged").iterdir()]
    assert aside == [newest.name]
    agree(records(tmp_path / "run"), alone[:2])


@pytest.mark.slow
def test_a_changed_part_of_a_split_state_is_noticed_by_all(alone, tmp_path):
    split = ("--sharding", "fsdp")
    finish(*several(tmp_path / "run", 2, *split, epochs=1))
    finish(*several(tmp_path / "run", 2, *split, epochs=2))
    *_, newest = sorted((tmp_path / "run" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    notes = newest / "meta" / "metadata"
    meta = json.loads(notes.read_text())
    path = max(meta["checksums"])
    meta["checksums"][path] ^= 1  # as if the array had changed, and not its checksum
    meta["digest"] = digest({key: value for key, value in meta.items() if key != "digest"})
    notes.write_text(json.dumps(meta))
    said = finish(*several(tmp_path / "run", 2, *split, epochs=2))
    assert [f"step {newest.name} is damaged" in text for text in said] == [True, False]
    agree(records(tmp_path / "run"), alone[:2])


LIBRARY = """
import json, sys
import jax, numpy as np
from jaxnets import data, models, optim, train
from jaxnets.data.device import on_device
from jaxnets.errors import UserError
from jaxnets.runs import probabilities

train.join(sys.argv[1] if len(sys.argv) > 1 else None)
mesh, digits = train.make_mesh(), data.load("digits")
model, optimizer = models.MODELS["mlp"](num_classes=10), optim.OPTIMIZERS["sgd"](0.05)
step, judge = train.make_train_step(model, optimizer), train.make_eval_step(model)
batches, held_out = data.Batches(digits.train, 32, seed=0), data.Batches(digits.test, 256)
judged = {"validation": train.Validation(judge, held_out)}
found = {}

def begin(seed=0):
    return train.make_state(model, optimizer, digits.features.shape, seed)

for resident in (True, False):
    placed = on_device(batches, resident, mesh)
    state, history = train.fit(begin(), step, placed, epochs=2, mesh=mesh, **judged)
    found[f"fit, resident {resident}"] = history[-1]["loss"], history[-1]["val_loss"]
for where, some in {"spread": on_device(held_out, mesh=mesh), "whole": held_out}.items():
    found[f"evaluate, {where}"] = train.evaluate(jax.jit(judge), state.variables, some)["loss"]
found["predict"] = probabilities(model, state.variables, digits.test[np.arange(5)]["x"])[:, 0].tolist()
whole, history = train.fit_compiled(begin(), step, batches, epochs=2, **judged)
found["fit_compiled"] = history[-1]["loss"], history[-1]["val_loss"]
whole, history = train.fit_compiled(state, step, batches, epochs=3, **judged)
found["fit_compiled after fit"] = history[-1]["loss"], history[-1]["val_loss"]
judged |= {"keep": train.Keep(best="val_loss", restore_best=True)}
state, history = train.fit(whole, step, batches, epochs=4, mesh=mesh, **judged)
found["fit after fit_compiled"] = history[-1]["loss"], history[-1]["val_loss"]
if jax.process_count() > 1:
    for wrong in (
        lambda: train.fit(begin(), step, batches, epochs=1, keep=train.Keep("never")),
        lambda: train.fit(begin(jax.process_index()), step, batches, epochs=1, mesh=mesh),
        lambda: on_device(data.Batches(digits.train, 32, seed=jax.process_index()), mesh=mesh),
        lambda: train.make_mesh(1),
        lambda: train.join(sys.argv[1]),
    ):
        try:
            wrong()
        except UserError as error:
            print("refused:", error)
print(json.dumps(found))
"""
REFUSED = (
    "several processes share never: give fit the mesh that make_mesh() returns",
    "process 1 has other parameters or data than process 0",
    "process 1 has other examples or batches than process 0",
    "1 devices: several processes must use all of their",
    "this one has joined already",
)


@pytest.mark.slow
@pytest.mark.parametrize("count, devices", [(2, 1), (3, 1), (2, 2)])
def test_all_that_trains_and_judges_gives_the_numbers_of_one_process(tmp_path, count, devices):
    """`fit`, `fit_compiled`, one after the other, `evaluate`, predicting; what is wrong is one sentence."""

    def call(*more, devices=1):
        return subprocess.Popen(
            [sys.executable, "-c", LIBRARY, *more],
            cwd=tmp_path,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(SCRIPT.parents[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    expected = json.loads(finish(call())[0].splitlines()[-1])
    where = address()
    for text in finish(*(call(f"{where},{count},{index}", devices=devices) for index in range(count))):
        *lines, last = text.splitlines()
        refused = [line for line in lines if line.startswith("refused: ")]
        assert len(refused) == len(REFUSED), text
        assert all(reason in line for line, reason in zip(refused, REFUSED, strict=True)), refused
        for name, numbers in json.loads(last).items():
            assert numbers == pytest.approx(expected[name], rel=LOSS), name
    assert not (tmp_path / "never").exists()


def test_what_is_wrong_is_one_sentence(monkeypatch):
    with pytest.raises(UserError, match=f"99 devices: there are {jax.device_count()}"):
        make_mesh(99)
    assert make_mesh(1) is None
    with pytest.raises(
        UserError, match=r"join .* by 'auto': it is too late.*; call join before anything else"
    ):
        join("auto")
    monkeypatch.setattr(distributed, "has_devices", lambda: False)
    shapes = ("here", "localhost,2,0", "localhost:1234,2", "localhost:1234,two,0")
    beyond = ("localhost:0,2,0", "localhost:70000,2,0", "localhost:1234,2,2", f"localhost:1234,{10**30},0")
    for how in (*shapes, *beyond):
        with pytest.raises(UserError, match=rf"cannot join .* by '{how}' .*HOST:PORT,COUNT,INDEX with"):
            join(how)


def test_the_moments_to_stop_are_counted_without_gaps(monkeypatch):
    """JAX names one that all will come to: the number after the greatest that one of them has given."""
    given = []

    def reached(number):
        given.append(number)
        return len(given) == 3

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(interrupt, "reached_preemption_sync_point", reached)
    monkeypatch.setattr(interrupt, "any_process", lambda flag: flag)
    with interrupt.Interrupts() as interrupts:
        assert [interrupts.due() for _ in range(5)] == [False, False, True, True, True]
    assert np.diff(given).tolist() == [1, 1]
    assert interrupts.exit_code == 0


def test_processes_have_as_many_devices_each(monkeypatch):
    class Device:
        platform = "cpu"

        def __init__(self, process_index):
            self.process_index = process_index

    monkeypatch.setattr(jax, "devices", lambda: list(map(Device, (0, 0, 1))))
    with pytest.raises(UserError, match="the processes have 2, 1 devices: each must have equally many"):
        make_mesh()
