"""What fit does when a loss, a checkpoint, a disk or another process gets in its way."""

import json
import shutil
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import losses, optim, runs
from jaxnets.data import Batches, epoch_order
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import Checkpoints, claim, fit, make_eval_step, make_state, make_train_step
from jaxnets.train.state import origins
from jaxnets.train.workdir import locked
from tests.train.test_fit import BATCH, RATE, measure, run, same_bits

# Orbax leaves coroutines behind when it stumbles over a damaged file.
LEFTOVERS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_loss_that_is_not_finite_stops_with_the_state_and_the_examples_before_it(source, tmp_path):
    before, _ = run(source, 1)
    run(source, 1, tmp_path)
    order = epoch_order(21, 3, 1)
    source.x[order[0]] = np.nan  # in the first batch of the second epoch
    with pytest.raises(
        UserError, match=r"training loss is nan at step 4; the state before it .* smaller learning"
    ):
        run(source, 2, tmp_path)
    noted = json.loads((tmp_path / "nonfinite" / "batch.json").read_text())
    assert noted == {"step": 4, "loss": "nan", "examples": order[:BATCH].tolist()}
    with Checkpoints(tmp_path / "nonfinite") as checkpoints:
        kept = checkpoints.restore_variables()
    assert same_bits(kept, before.variables)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 3  # that of the epoch before


def test_steps_that_are_not_finite_can_be_skipped(source):
    """The poisoned batch leaves no trace: NumPy runs the epoch without it."""
    order = epoch_order(21, 3, 0)
    source.x[order[BATCH]] = np.nan  # in the second of three batches
    start = make_state(MODELS["perceptron"](), optax.sgd(RATE), (4,))
    kernel, bias = (np.float64(start.params["head"][name]) for name in ("kernel", "bias"))
    losses = []
    for rows in (order[:BATCH], order[2 * BATCH :]):
        x, y = source.x[rows], source.y[rows]
        log_p, loss, _ = measure(x, y, kernel, bias)
        losses.extend(loss)
        error = (np.exp(log_p) - np.eye(3)[y]) / len(rows)
        kernel, bias = kernel - RATE * x.T @ error, bias - RATE * error.sum(0)
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    state, history = fit(
        start, make_train_step(model, descent), Batches(source, BATCH, seed=3), epochs=1, on_nonfinite="skip"
    )
    np.testing.assert_allclose(state.params["head"]["kernel"], kernel, rtol=1e-5)
    assert history[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert int(state.step) == 3
    assert history[0]["skipped"] * 13 == BATCH


def wild_gradient(value, at=4):
    """A perceptron whose gradient in step `at` is `value` in one place, and whose loss is finite."""
    model = MODELS["perceptron"]()

    def loss(logits, y):
        return losses.sparse_categorical_crossentropy(_backwards(logits), y)

    @jax.custom_vjp
    def _backwards(x):
        return x

    _backwards.defvjp(lambda x: (x, None), lambda _, g: (g.at[0, 0].set(value),))
    descent = optax.sgd(RATE)
    plain, wild = make_train_step(model, descent), make_train_step(model, descent, loss=loss)
    return lambda state, batch: jax.lax.cond(state.step == at - 1, wild, plain, state, batch)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_gradient_that_is_not_finite_under_a_finite_loss_stops_at_its_step(source, tmp_path, value):
    before, _ = run(source, 1)
    batches = Batches(source, BATCH, seed=3)
    start = make_state(MODELS["perceptron"](), optax.sgd(RATE), (4,))
    with pytest.raises(UserError, match=r"the gradient is not finite at step 4; the state before it"):
        fit(start, wild_gradient(value), batches, epochs=2, workdir=tmp_path)
    with Checkpoints(tmp_path / "nonfinite") as checkpoints:
        assert same_bits(checkpoints.restore_variables(), before.variables)


def test_a_step_whose_gradient_is_not_finite_can_be_skipped(source):
    """Where the second step of three is skipped, the epoch is that of NumPy without its examples."""
    start = make_state(MODELS["perceptron"](), optax.sgd(RATE), (4,))
    batches = Batches(source, BATCH, seed=3)
    state, (record,) = fit(start, wild_gradient(np.inf, at=2), batches, epochs=1, on_nonfinite="skip")
    assert np.isfinite(np.asarray(state.params["head"]["kernel"])).all()
    assert np.isfinite(record["loss"])
    assert record["skipped"] * 13 == BATCH


def test_an_epoch_of_skipped_steps_only_is_one_sentence(source):
    source.x[:] = np.nan
    with pytest.raises(UserError, match="every step of epoch 1 was skipped, since no loss and gradient was"):
        run(source, 2, on_nonfinite="skip")


def test_a_loss_that_is_not_finite_is_noticed_long_before_the_end_of_the_epoch(source):
    """An epoch of some hours; the host looks every 0.2 s."""
    source.x[0] = np.nan
    began = time.monotonic()
    with pytest.raises(UserError, match="training loss is nan at step"):
        run(source, 1, steps_per_epoch=100_000_000)
    assert time.monotonic() - began < 30


def test_a_defect_keeps_its_traceback(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(checkpoints._manager, "save", lambda *_, **__: [][1])
        with pytest.raises(IndexError):
            checkpoints.save(1, {"state": {"a": jnp.zeros(3)}})
        monkeypatch.undo()
        checkpoints.save(1, {"state": {"a": jnp.zeros(3)}})
        checkpoints.wait()
        monkeypatch.setattr("jaxnets.train.checkpoint._checksums", lambda _: {}[1])
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
            fit(state, step, Batches(source, BATCH, seed=3), epochs=2, workdir=tmp_path)
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
    monkeypatch.setattr("jaxnets.train.checkpoint.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"MB free.*make room.*the last complete checkpoint is kept"):
        run(source, 2, tmp_path)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 3


def test_another_format_is_refused_with_the_reason(source, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnets.train.checkpoint.FORMAT", 1)
    run(source, 1, tmp_path)
    monkeypatch.undo()
    with pytest.raises(UserError, match="has format 1, and this jaxnets reads 2"):
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
            eval_step=counted,
            validation=Batches(source, 32),
            workdir=workdir,
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
    _, (record,) = run(source, 1, tmp_path)
    assert 10 <= record["seconds"] < 12
    assert record["examples_per_second"] == pytest.approx(21 / record["seconds"], abs=0.06)


def test_predictions_are_of_the_average_where_the_training_judged_it(source, tmp_path):
    model = MODELS["perceptron"](num_classes=3)
    descent = optax.chain(optax.sgd(RATE), optim.average_weights(0.9))

    def train(workdir, **more):
        claim(workdir, runs.describe_features("perceptron", source.features, None, "unit"))
        state = make_state(model, descent, (4,))
        batches = Batches(source, BATCH, seed=3)
        return fit(state, make_train_step(model, descent), batches, epochs=2, workdir=workdir, **more)[0]

    def averaged(state):
        return {**state.variables, "params": optim.averaged_weights(state.opt_state)}

    judged = train(tmp_path / "judged", evaluated=averaged)
    plain = train(tmp_path / "plain")
    kept = runs.load_run(tmp_path / "judged").variables
    assert same_bits(kept, averaged(judged))
    assert not same_bits(kept, judged.variables)
    assert same_bits(runs.load_run(tmp_path / "plain").variables, plain.variables)


def test_variables_that_are_computed_and_not_picked_cannot_be_told(source):
    state = make_state(MODELS["perceptron"](), optim.average_weights(0.9), (4,))
    halved = origins(lambda state: jax.tree.map(lambda leaf: leaf / 2, state.variables), state)
    assert halved == {}
    assert origins(lambda state: state.variables, state) == {}
    averaged = origins(lambda state: {"params": optim.averaged_weights(state.opt_state)}, state)
    assert averaged == {"params": "opt_state/averaged"}
