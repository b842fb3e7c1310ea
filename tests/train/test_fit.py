"""The loop: its numbers beside a NumPy loop, and exact continuation."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest

from jaxnets.data import ArraySource, Batches, epoch_order
from jaxnets.data.device import on_device
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import (
    Checkpoints,
    early_stopping,
    fit,
    make_eval_step,
    make_state,
    make_train_step,
    read_metrics,
    reduce_on_plateau,
)
from jaxnets.train.workdir import locked
from tests.train.test_step import BatchNormNet

RATE, BATCH = 0.1, 8
# Orbax leaves coroutines behind when it stumbles over a damaged file.
LEFTOVERS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(21, 4)).astype(np.float32)
    return ArraySource(x, (x @ rng.normal(size=(4, 3))).argmax(-1), ("a", "b", "c"))


def run(source, epochs, workdir=None, **more):
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    return fit(
        make_state(model, descent, (4,)),
        make_train_step(model, descent),
        Batches(source, BATCH, seed=3),
        epochs=epochs,
        eval_step=make_eval_step(model),
        validation=Batches(source, BATCH),
        workdir=workdir,
        **more,
    )


def measure(x, y, kernel, bias):
    logits = x @ kernel + bias
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return log_p, -log_p[np.arange(len(y)), y], log_p.argmax(-1) == y


def test_three_epochs_are_what_numpy_says(source):
    """Every example counts once: 21 examples in batches of 8 end with a batch of 5."""
    state = make_state(MODELS["perceptron"](), optax.sgd(RATE), (4,))
    kernel, bias = (np.float64(state.params["head"][name]) for name in ("kernel", "bias"))
    expected = []
    for epoch in range(3):
        losses, rights = [], []
        order = epoch_order(21, 3, epoch)
        for start in range(0, 21, BATCH):
            rows = order[start : start + BATCH]
            x, y = source.x[rows], source.y[rows]
            log_p, loss, right = measure(x, y, kernel, bias)
            losses.extend(loss)
            rights.extend(right)
            error = (np.exp(log_p) - np.eye(3)[y]) / len(rows)
            kernel, bias = kernel - RATE * x.T @ error, bias - RATE * error.sum(0)
        _, loss, right = measure(source.x, source.y, kernel, bias)
        expected.append([np.mean(losses), np.mean(rights), loss.mean(), right.mean()])

    state, history = run(source, 3)
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    np.testing.assert_allclose([[r[name] for name in names] for r in history], expected, rtol=1e-5)
    np.testing.assert_allclose(state.params["head"]["kernel"], kernel, rtol=1e-5)
    assert [(record["epoch"], record["step"]) for record in history] == [(1, 3), (2, 6), (3, 9)]


def same_bits(one, other):
    return all(
        np.array_equal(np.asarray(a), np.asarray(b))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_a_continued_run_ends_with_the_bits_of_an_unbroken_one(source, tmp_path):
    unbroken, history = run(source, 5)
    run(source, 2, tmp_path)
    continued, records = run(source, 5, tmp_path)
    assert same_bits(unbroken, continued)
    assert [record["val_loss"] for record in records] == [record["val_loss"] for record in history]
    assert read_metrics(tmp_path / "metrics.jsonl") == records
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5]


def test_lines_written_after_the_last_checkpoint_are_not_doubled(source, tmp_path):
    run(source, 2, tmp_path)
    log = tmp_path / "metrics.jsonl"
    with log.open("a") as file:
        file.write(json.dumps({"epoch": 3, "loss": 9.9}) + '\n{"epoch": 4, "lo')  # killed while writing
    _, records = run(source, 4, tmp_path)
    assert [record["epoch"] for record in read_metrics(log)] == [1, 2, 3, 4]
    assert records[2]["loss"] < 9


def test_a_run_that_is_done_changes_nothing(source, tmp_path):
    first, _ = run(source, 2, tmp_path)
    again, records = run(source, 2, tmp_path)
    assert same_bits(first, again)
    assert len(records) == 2


def test_a_trained_state_goes_on_without_a_folder(source):
    unbroken, history = run(source, 5)
    state, first = run(source, 2)
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    step, batches = make_train_step(model, descent), Batches(source, BATCH, seed=3)
    continued, second = fit(state, step, batches, epochs=5)
    assert same_bits(unbroken, continued)
    losses = [(record["epoch"], record["loss"]) for record in first + second]
    assert losses == [(record["epoch"], record["loss"]) for record in history]
    with pytest.raises(UserError, match="5 epochs: it must be more than the 5 that the state has done"):
        fit(continued, step, batches, epochs=5)


def test_a_continued_run_compiles_its_step_once(source, tmp_path, caplog):
    run(source, 1, tmp_path)
    with jax.log_compiles(True):
        run(source, 4, tmp_path)
    compiled = [line for line in caplog.messages if line.startswith("Compiling jit(several)")]
    assert len(compiled) == 1


def test_epochs_of_another_length_are_refused(source, tmp_path):
    run(source, 4, tmp_path)
    with pytest.raises(UserError, match="step 12 after 4 epochs does not fit epochs of 2 steps"):
        run(source, 8, tmp_path, steps_per_epoch=2)


def test_a_measure_that_is_not_there_cannot_be_the_best(source):
    with pytest.raises(UserError, match="best='val_lose' is not measured; what is: epoch, step, loss"):
        run(source, 2, best="val_lose")


def test_variables_to_start_from_stay_valid(source):
    variables = MODELS["perceptron"]().init(jax.random.key(0), np.zeros((1, 4)))
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    state = make_state(model, descent, (4,), variables=variables)
    fit(state, make_train_step(model, descent), Batches(source, BATCH, seed=3), epochs=1)
    assert np.isfinite(np.asarray(variables["params"]["head"]["kernel"])).all()


def test_wrong_epochs_are_one_sentence(source):
    with pytest.raises(UserError, match="0 epochs: it must be at least 1"):
        run(source, 0)


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


def test_steps_per_epoch_and_validation_frequency_only_change_the_records(source):
    plain, history = run(source, 4)  # 4 epochs of 3 steps
    state, records = run(source, 6, steps_per_epoch=2, validate_every=3)
    assert same_bits(plain, state)
    assert [record["step"] for record in records] == [2, 4, 6, 8, 10, 12]
    assert ["val_loss" in record for record in records] == [False, False, True, False, False, True]
    assert records[2]["val_loss"] == history[1]["val_loss"]
    assert records[5]["val_loss"] == history[3]["val_loss"]


def test_early_stopping_restores_the_best_and_goes_on_exactly(source, tmp_path):
    """Judged by labels that have nothing to do with the inputs, a network soon gets worse as it learns."""
    model, descent = MODELS["perceptron"](), optax.sgd(0.3)
    noise = ArraySource(source.x, np.random.default_rng(5).integers(0, 3, 21), source.features.classes)

    def wild(epochs, workdir=None):
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            Batches(source, BATCH, seed=3),
            epochs=epochs,
            eval_step=make_eval_step(model),
            validation=Batches(noise, BATCH),
            workdir=workdir,
            best="val_loss",
            restore_best=True,
            stop=early_stopping("val_loss", patience=3),
        )

    state, history = wild(40)
    values = [record["val_loss"] for record in history]
    best = int(np.argmin(values))
    assert len(history) == best + 1 + 3  # three epochs in vain
    again, _ = fit(
        make_state(model, descent, (4,)),
        make_train_step(model, descent),
        Batches(source, BATCH, seed=3),
        epochs=best + 1,
    )
    assert same_bits(state.variables, again.variables)

    for epochs in (1, 2, best + 2, 40):  # stopped and continued, on the disk
        resumed, records = wild(epochs, tmp_path)
    assert same_bits(resumed.variables, state.variables)
    assert [record["val_loss"] for record in records] == values


@pytest.mark.parametrize("workdir", [False, True])
def test_a_rate_reduced_on_a_plateau_is_continued_exactly(source, tmp_path, workdir):
    descent = optax.inject_hyperparams(optax.sgd)(learning_rate=1e-6)  # so small that nothing improves
    model = MODELS["perceptron"]()

    def slow(epochs, workdir):
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            Batches(source, BATCH, seed=3),
            epochs=epochs,
            workdir=workdir,
            callbacks=[{"epoch_end": reduce_on_plateau("loss", factor=0.5, patience=2)}],
        )[0]

    if workdir:
        slow(3, tmp_path)
    state = slow(6, tmp_path if workdir else None)
    # the first epoch is the best: reduced after epochs 3 and 5
    assert float(state.opt_state.hyperparams["learning_rate"]) == pytest.approx(1e-6 / 4)


def test_callbacks_come_at_their_moments(source):
    seen = []
    moments = ("train_begin", "epoch_begin", "step_end", "epoch_end", "train_end")
    run(
        source,
        2,
        callbacks=[
            {
                moment: lambda state, _, moment=moment: seen.append((moment, int(state.step)))
                for moment in moments
            }
        ],
    )
    one = [("epoch_begin", 0), ("step_end", 1), ("step_end", 2), ("step_end", 3), ("epoch_end", 3)]
    two = [("epoch_begin", 3), ("step_end", 4), ("step_end", 5), ("step_end", 6), ("epoch_end", 6)]
    assert seen == [("train_begin", 0), *one, *two, ("train_end", 6)]


@pytest.mark.parametrize("devices", [2, 3, 8])
@pytest.mark.parametrize("resident", [True, False])
def test_several_devices_give_the_numbers_of_one(source, devices, resident, tmp_path):
    """Batches of 8 over 3 devices do not divide evenly, nor does the last one of 5 over any of them."""
    model, descent = BatchNormNet(), optax.sgd(RATE, momentum=0.9)

    def train(mesh=None, epochs=17, workdir=None):  # 51 steps
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            on_device(Batches(source, BATCH, seed=3), resident, mesh),
            epochs=epochs,
            eval_step=make_eval_step(model),
            validation=on_device(Batches(source, BATCH), resident, mesh),
            workdir=workdir,
            mesh=mesh,
        )

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("data",))
    state, history = train()
    spread, records = train(mesh)
    assert len(spread.params["Dense_0"]["kernel"].sharding.device_set) == devices
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    np.testing.assert_allclose(
        [[r[n] for n in names] for r in records], [[r[n] for n in names] for r in history], rtol=1e-5
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), spread, state)

    train(mesh, 9, tmp_path)  # and continued on one
    continued, _ = train(None, 17, tmp_path)
    assert len(continued.params["Dense_0"]["kernel"].sharding.device_set) == 1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), continued, state)
