"""The loop: its numbers beside a NumPy loop, and exact continuation."""

import json

import jax
import numpy as np
import optax
import pytest

from jaxnets.data import ArraySource, Batches, epoch_order
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import Checkpoints, fit, make_eval_step, make_state, make_train_step, read_metrics

RATE, BATCH = 0.1, 8


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


def test_callbacks_see_every_epoch(source):
    seen = []
    run(source, 3, callbacks=[lambda state, record: seen.append((int(state.step), record["epoch"]))])
    assert seen == [(3, 1), (6, 2), (9, 3)]


def test_wrong_epochs_and_a_loss_that_is_not_finite_stop_with_a_sentence(source, tmp_path):
    with pytest.raises(UserError, match="0 epochs: it must be at least 1"):
        run(source, 0)
    run(source, 1, tmp_path)
    source.x[3] = np.nan
    with pytest.raises(UserError, match="training loss is nan in epoch 2"):
        run(source, 2, tmp_path)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 3  # that of the epoch before is kept


def test_another_network_or_optimizer_is_refused_and_the_checkpoint_stays(source, tmp_path):
    run(source, 1, tmp_path)
    model, descent = MODELS["mlp"](num_classes=3), optax.sgd(RATE)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        with pytest.raises(
            UserError, match=r"of another network or optimizer: params/dense1/bias is missing there"
        ):
            checkpoints.restore(make_state(model, descent, (4,)))
        with pytest.raises(UserError, match=r"opt_state/\S+ is missing there"):
            checkpoints.restore(make_state(MODELS["perceptron"](), optax.adam(RATE), (4,)))
        assert checkpoints.latest == 3


@pytest.mark.parametrize("damage", ["emptied", "truncated"])
def test_a_damaged_checkpoint_is_one_sentence(source, tmp_path, damage):
    run(source, 1, tmp_path)
    for file in (tmp_path / "checkpoints" / "3").rglob("*"):
        if file.is_file():
            file.write_bytes(b"" if damage == "emptied" else file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"checkpoints/3 is damaged or incomplete .* move that folder away"):
        run(source, 2, tmp_path)
    assert (tmp_path / "checkpoints" / "3").is_dir()
