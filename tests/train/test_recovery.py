"""What fit does when a checkpoint, a disk or another process gets in its way."""

import json
import shutil
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.data import Batches
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import Checkpoints, Keep, Validation, fit, make_eval_step, make_state, make_train_step
from jaxnets.train.io.workdir import locked
from tests.train.test_fit import BATCH, RATE, run, same_bits

# Orbax leaves coroutines behind when it stumbles over a damaged file.
LEFTOVERS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_defect_keeps_its_traceback(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(checkpoints._manager, "save", lambda *_, **__: [][1])
        with pytest.raises(IndexError):
            checkpoints.save(1, {"state": {"a": jnp.zeros(3)}})
        monkeypatch.undo()
        checkpoints.save(1, {"state": {"a": jnp.zeros(3)}})
        checkpoints.wait()
        monkeypatch.setattr("jaxnets.train.io.checkpoint.checksums", lambda _: {}[1])
        with pytest.raises(KeyError):
            checkpoints.restore_variables()
    assert (tmp_path / "1").is_dir()


def test_another_network_or_optimizer_is_refused_and_the_checkpoint_stays(source, tmp_path):
    run(source, 1, tmp_path)
    for model, descent, missing in (
        (MODELS["mlp"](num_classes=3), optax.sgd(RATE), r"state/params/dense1/bias is missing there"),
        (MODELS["perceptron"](), optax.adam(RATE), r"state/opt_state/\S+ is missing there"),
    ):
        state = make_state(model, descent, (4,))
        step = make_train_step(model, descent)
        with pytest.raises(UserError, match=f"of another network or optimizer: {missing}"):
            fit(state, step, Batches(source, BATCH, seed=3), epochs=2, keep=Keep(tmp_path))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 3


def damage(folder, how):
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        data = bytearray(file.read_bytes())
        if how == "emptied":
            data = bytearray()
        elif how == "truncated":
            data = data[: len(data) // 2]
        file.write_bytes(data)


@LEFTOVERS
@pytest.mark.parametrize("how", ["emptied", "truncated"])
@pytest.mark.sampled(2)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(source, tmp_path, how, capsys):
    unbroken, _ = run(source, 3)
    run(source, 1, tmp_path)
    run(source, 2, tmp_path)
    damage(tmp_path / "checkpoints" / "6", how)
    continued, records = run(source, 3, tmp_path)
    assert same_bits(unbroken, continued)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert "checkpoint of step 6 is damaged" in capsys.readouterr().err
    assert (tmp_path / "checkpoints-damaged" / "6").is_dir()


@LEFTOVERS
def test_who_only_reads_passes_over_a_damaged_checkpoint_and_moves_nothing(source, tmp_path, capsys):
    first, _ = run(source, 1, tmp_path)
    kept = jax.tree.map(np.array, first.variables)
    run(source, 2, tmp_path)
    damage(tmp_path / "checkpoints" / "6", "truncated")
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert same_bits(checkpoints.restore_variables(), kept)
    assert "passed over: step 6" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["3", "6"]


@LEFTOVERS
@pytest.mark.slow
def test_every_changed_byte_of_the_arrays_is_noticed(source, tmp_path):
    """One flipped bit at a time, in every file that holds data: never other numbers, silently."""
    state, _ = run(source, 1, tmp_path)
    rng = np.random.default_rng(0)
    pristine = tmp_path / "checkpoints"
    for trial in range(12):
        copy = tmp_path / f"copy{trial}"
        shutil.copytree(pristine, copy / "checkpoints")
        files = sorted(
            path for path in (copy / "checkpoints" / "3").rglob("*") if path.is_file() and "d" in path.parts
        )
        file = files[trial % len(files)]
        data = bytearray(file.read_bytes())
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        file.write_bytes(data)
        with Checkpoints(copy / "checkpoints") as checkpoints:
            try:
                assert same_bits(checkpoints.restore_variables(), state.variables)
            except UserError as error:
                assert "no checkpoint" in str(error)  # noqa: PT017 (either is right, silence is not)


@LEFTOVERS
def test_when_every_checkpoint_is_damaged_it_says_so_and_keeps_them(source, tmp_path):
    run(source, 1, tmp_path)
    damage(tmp_path / "checkpoints" / "3", "truncated")
    with pytest.raises(
        UserError, match=r"no checkpoint in \S+checkpoints is sound; the damaged ones are now in"
    ):
        run(source, 2, tmp_path)
    assert (tmp_path / "checkpoints-damaged" / "3").is_dir()


def test_a_full_disk_stops_with_a_sentence_before_anything_is_written(source, tmp_path, monkeypatch):
    run(source, 1, tmp_path)
    usage = SimpleNamespace(free=10)
    monkeypatch.setattr("jaxnets.train.io.checkpoint.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"MB free.*make room.*the last complete checkpoint is kept"):
        run(source, 2, tmp_path)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 3


def test_another_format_is_refused_with_the_reason(source, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnets.train.io.checkpoint.FORMAT", 1)
    run(source, 1, tmp_path)
    monkeypatch.undo()
    with pytest.raises(UserError, match="has format 1, and this jaxnets reads 4"):
        run(source, 2, tmp_path)
    assert (tmp_path / "checkpoints" / "3").is_dir()


def test_a_second_run_in_the_same_workdir_is_refused(source, tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match="another process is training in"):
        run(source, 1, tmp_path)
    run(source, 1, tmp_path)


def test_a_run_stopped_in_its_last_evaluation_is_judged_once(source, tmp_path):
    """The stop saves in mid-epoch at the step at which the end of the epoch would save again."""
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    step, evals = make_train_step(model, descent), []
    eval_step = make_eval_step(model)

    def counted(variables, batch):
        jax.debug.callback(lambda: evals.append(1))
        return eval_step(variables, batch)

    def train(workdir):
        batches = Batches(source, BATCH, seed=3)
        return fit(
            make_state(model, descent, (4,)),
            step,
            batches,
            epochs=2,
            validation=Validation(counted, Batches(source, 32)),
            keep=Keep(workdir),
        )

    with Checkpoints(tmp_path / "checkpoints") as checkpoints:  # as an interrupt leaves it
        state, _ = train(None)
        sums = {"loss": jnp.float32(30.0), "accuracy": jnp.float32(9.0), "count": jnp.float32(21.0)}
        checkpoints.save(6, {"state": state, "sums": sums}, {"epochs": 1, "config": {}})
    log = tmp_path / "metrics.jsonl"
    log.write_text(json.dumps({"epoch": 1, "step": 3, "loss": 1.0}) + "\n")
    evals.clear()
    continued, records = train(tmp_path)
    assert len(evals) == 1
    assert (records[1]["loss"], records[1]["accuracy"]) == pytest.approx((30 / 21, 9 / 21))
    again, _ = train(tmp_path)
    assert len(evals) == 1  # nothing is left to do
    assert same_bits(continued, again)


def test_the_rate_of_an_epoch_finished_by_another_process_is_that_of_the_whole(source, tmp_path):
    """As a run leaves it that was stopped in the evaluation, 10 s after the epoch began."""
    state, _ = run(source, 1)
    sums = {"loss": jnp.float32(30.0), "accuracy": jnp.float32(9.0), "count": jnp.float32(21.0)}
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(3, {"state": state, "sums": sums}, {"epochs": 0, "config": {}, "seconds": 10.0})
    began = time.perf_counter()
    _, (record,) = run(source, 1, tmp_path)
    assert 10 <= record["seconds"] <= round(10 + time.perf_counter() - began, 3)
    assert record["examples_per_second"] == pytest.approx(21 / record["seconds"], abs=0.06)
