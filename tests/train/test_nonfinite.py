"""A loss or a gradient that is nan or infinite: what stops, what is skipped, and what is kept."""

import json
import time

import jax
import numpy as np
import optax
import pytest

from jaxnets import losses
from jaxnets.data import Batches, epoch_order
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import Checkpoints, Keep, fit, make_state, make_train_step
from tests.rounding import assert_close
from tests.train.test_fit import BATCH, RATE, measure, run, same_bits


def test_a_loss_that_is_not_finite_stops_with_the_state_and_the_examples_before_it(source, tmp_path):
    before, _ = run(source, 1)
    run(source, 1, tmp_path)
    order = epoch_order(21, 3, 1)
    source.x[order[0]] = np.nan  # in the first batch of the second epoch
    labels = source.y[order[:BATCH]]
    said = (
        f"training loss is nan at step 4, with labels from {labels.min()} to {labels.max()}; the state before"
    )
    with pytest.raises(UserError, match=rf"{said} it .* smaller learning"):
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


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_a_gradient_that_is_not_finite_under_a_finite_loss_stops_at_its_step(source, tmp_path, value):
    before, _ = run(source, 1)
    batches = Batches(source, BATCH, seed=3)
    start = make_state(MODELS["perceptron"](), optax.sgd(RATE), (4,))
    with pytest.raises(
        UserError, match=r"the gradient is not finite at step 4, with labels .*; the state before it"
    ):
        fit(start, wild_gradient(value), batches, epochs=2, keep=Keep(tmp_path))
    with Checkpoints(tmp_path / "nonfinite") as checkpoints:
        assert_close(checkpoints.restore_variables(), before.variables, roundings=3 * BATCH)


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
    with pytest.raises(UserError, match="every step of epoch 1 was skipped, since none had a finite loss"):
        run(source, 2, on_nonfinite="skip")


def test_a_loss_that_is_not_finite_is_noticed_long_before_the_end_of_the_epoch(source):
    """An epoch of some hours; the host looks every 0.2 s."""
    source.x[0] = np.nan
    began = time.monotonic()
    with pytest.raises(UserError, match="training loss is nan at step"):
        run(source, 1, steps_per_epoch=100_000_000)
    assert time.monotonic() - began < 120
