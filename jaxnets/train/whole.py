"""Small trainings as one program: all epochs in one scan, and nothing on the host until the last is done."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.data.device import read_all
from jaxnets.data.sampler import Batches
from jaxnets.errors import UserError, lookup
from jaxnets.train.fit import check_loss
from jaxnets.train.state import TrainState
from jaxnets.train.step import means


def fit_whole(
    state: TrainState,
    train_step: Callable[..., Any],
    train: Batches,
    *,
    epochs: int,
    eval_step: Callable[..., Any] | None = None,
    validation: Batches | None = None,
    every: int = 1,
    best_on: str | None = None,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Trains as `fit` does, the same batches in the same order, where no epoch needs the host.

    For what is small enough to feel instant: thousands of steps that take microseconds each. The data lies
    on the device whole, and there is nothing to see before the end: no progress, no checkpoint, no seconds.
    (On CPUs XLA runs convolutions inside a scan slowly: leave those to `fit`.)

    Args:
        state: where to start; it stays valid.
        train_step: a pure step, as `make_train_step` returns it; a second call with the same one does not
            compile again.
        train: the batches to learn from.
        epochs: how many epochs the run has in all, those that `state` has done included.
        eval_step: a pure step, as `make_eval_step` returns it.
        validation: the batches to judge by.
        every: judge after every so many epochs (Keras's `validation_freq`).
        best_on: "loss", "val_loss" or another measure of which less is better: the state after the first
            epoch with the least of it is returned instead of the last one, as Keras's
            `ModelCheckpoint(save_best_only=True, monitor=...)` keeps it. `state.step` tells which it was.

    Returns:
        The state, and a record an epoch: epoch (from 1), step, loss, accuracy, and where the epoch was
        judged val_loss, val_accuracy.

    Raises:
        UserError: there is no epoch left to do or, with `every`, to judge; `best_on` is not measured; or a
            loss is not finite.

    Example:
        >>> import optax
        >>> from jaxnets import data, models, train
        >>> model, optimizer, iris = models.MODELS["perceptron"](), optax.sgd(0.1), data.load("iris")
        >>> state = train.make_state(model, optimizer, iris.features.shape)
        >>> step = train.make_train_step(model, optimizer)
        >>> state, history = train.fit_whole(state, step, data.Batches(iris.train, 32, seed=0), epochs=50)
        >>> history[-1]["step"], history[-1]["loss"] < history[0]["loss"]
        (200, True)
    """
    steps = train.steps_per_epoch
    done = int(state.step) // steps
    if epochs <= done:
        raise UserError(f"{epochs} epochs: it must be more than the {done} that the state has done")
    numbers = range(done + 1, epochs + 1)
    if every < 1 or all(number % every for number in numbers):
        raise UserError(f"validation every {every} epochs: of the epochs {done + 1} to {epochs} that is none")
    plans = jax.tree.map(lambda *rows: np.stack(rows), *(train.plan(number - 1) for number in numbers))
    judge = None
    if eval_step is not None and validation is not None:
        judge = {"resident": read_all(validation.source).arrays, "plan": validation.plan()}
    state, sums, val_sums = _run(
        state,
        read_all(train.source).arrays,
        plans,
        np.array(numbers),
        judge,
        train_step=train_step,
        eval_step=eval_step,
        every=every,
        best_on=best_on,
    )
    sums, val_sums = jax.device_get((sums, val_sums))
    history = []
    for row, number in enumerate(numbers):
        record = {"epoch": number, "step": number * steps, **_means(sums, row)}
        check_loss(record["loss"], number)
        if judge is not None and number % every == 0:
            record |= {f"val_{name}": value for name, value in _means(val_sums, row).items()}
        history.append(record)
    return state, history


@partial(jax.jit, static_argnames=("train_step", "eval_step", "every", "best_on"))
def _run(state, resident, plans, numbers, judge, *, train_step, eval_step, every, best_on):
    """All epochs; returns a state and the sums of every epoch, those of the judge nan where it rested."""

    def evaluate(variables):
        def step(_, rows):
            return None, eval_step(variables, {"resident": judge["resident"], **rows})

        return _total(lax.scan(step, None, judge["plan"])[1])

    def rest(variables):
        shapes = jax.eval_shape(evaluate, variables)
        return jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes)

    def epoch(carry, now):
        state, best, least = carry
        number, plan = now
        state, sums = lax.scan(lambda s, rows: train_step(s, {"resident": resident, **rows}), state, plan)
        sums, val_sums = _total(sums), {}
        if judge is not None:
            val_sums = lax.cond(number % every == 0, evaluate, rest, state.variables)
        if best_on is None:
            return (state, state, least), (sums, val_sums)
        measured = _divide("", sums) | _divide("val_", val_sums)
        value = lookup(measured, best_on, "measure")
        best = jax.tree.map(partial(jnp.where, value < least), state, best)
        return (state, best, jnp.fmin(value, least)), (sums, val_sums)

    (_, best, _), (sums, val_sums) = lax.scan(epoch, (state, state, jnp.float32(jnp.inf)), (numbers, plans))
    return best, sums, val_sums


def _total(sums):
    """The sums of all batches (steps,) added up."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), sums)


def _divide(prefix, sums):
    return {prefix + name: value / sums["count"] for name, value in sums.items() if name != "count"}


def _means(sums, row):
    return means({name: values[row] for name, values in sums.items()})
