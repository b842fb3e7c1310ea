"""`fit` as one compiled program, for networks so small that the host would take longer than the training.

`jaxnets.course.scan` does the same for bare functions of parameters, with neither a state nor a shuffle.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.data.device import as_rows, read_all
from jaxnets.data.sampler import Batches
from jaxnets.errors import UserError, lookup, whole
from jaxnets.train.evaluation import Validation
from jaxnets.train.misfit import explained
from jaxnets.train.monitor import Mode, sign_of
from jaxnets.train.state import TrainState
from jaxnets.train.step import TrainStep
from jaxnets.train.sums import mean_of_sums, means, metric_names


def fit_compiled(
    state: TrainState,
    train_step: TrainStep,
    train: Batches,
    *,
    epochs: int,
    validation: Validation | None = None,
    best: str | None = None,
    best_mode: Mode = "auto",
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Trains as `fit` does, with the same batches in the same order, but all epochs in one scan.

    The whole data set stays on the device, and nothing is reported before the end: no progress, checkpoints
    or times. (On CPUs, XLA runs convolutions inside a scan slowly: train those networks with `fit`.)

    Args:
        state: The state to start from; it is left unchanged.
        train_step: A pure step, as `make_train_step` returns it; a second call with the same step does
            not compile again.
        train: The batches to learn from.
        epochs: Total number of epochs of the run, including those that `state` has done.
        validation: How to evaluate; its batches must be `Batches`. By default nothing is evaluated.
        best: A metric, such as "val_loss": return the state with the best value of it, as Keras's
            `ModelCheckpoint(save_best_only=True)` keeps it, rather than the last one. Its `step` tells when
            that was.
        best_mode: Whether lower ("min") or higher ("max") is better; "auto", the default, goes by the
            metric's name.

    Returns:
        The state, and one record per epoch: epoch (from 1), step, loss, accuracy and, if the epoch was
        validated, val_loss and val_accuracy.

    Raises:
        UserError: If no epoch is left to do, `best` is not measured, the batches are not `Batches`, or a loss
            is not finite.

    Examples:
        >>> import optax
        >>> from jaxnets import data, models, train
        >>> model, optimizer, iris = models.MODELS["perceptron"](), optax.sgd(0.1), data.load("iris")
        >>> state = train.make_state(model, optimizer, iris.features.shape)
        >>> step = train.make_train_step(model, optimizer)
        >>> state, history = train.fit_compiled(state, step, data.Batches(iris.train, 32, seed=0), epochs=50)
        >>> history[-1]["step"], history[-1]["loss"] < history[0]["loss"]
        (200, True)
    """
    judged = validation.batches if validation is not None else train
    if not isinstance(train, Batches) or not isinstance(judged, Batches):
        raise UserError("fit_compiled takes only jaxnets.data.Batches: give other batches to fit")
    epochs, steps = whole("epochs", epochs), train.steps_per_epoch
    done = int(state.step) // steps
    if epochs <= done:
        raise UserError(f"{epochs} epochs: it must be more than the {done} that the state has done")
    numbers = np.arange(done, epochs) + 1
    due = (numbers % (validation.every if validation else 1) == 0) | (numbers == epochs)
    plans = jax.tree.map(lambda *rows: np.stack(rows), *(train.plan(epoch) for epoch in range(done, epochs)))
    judge = None
    if validation is not None:
        judge = {"resident": as_rows(read_all(judged.source)), "plan": judged.plan()}
    resident = as_rows(read_all(train.source))
    first = {"resident": resident, **jax.tree.map(lambda rows: rows[0, 0], plans)}
    with explained("the steps", first):
        state, sums, val_sums = _run(
            state,
            resident,
            (plans, due),
            judge,
            train_step=train_step,
            eval_step=validation.step if validation else None,
            variables=validation.variables if validation else None,
            best=best,
            mode=best_mode,
        )
    sums, val_sums = jax.device_get((sums, val_sums))
    history = []
    for row, epoch in enumerate(numbers.tolist()):
        record = {"epoch": epoch, "step": epoch * steps, **_means(sums, row)}
        if not np.isfinite(record["loss"]):
            raise UserError(
                f"the training loss is {record['loss']} in epoch {epoch}: try a smaller learning rate"
            )
        if judge is not None and due[row]:
            record |= {f"val_{name}": value for name, value in _means(val_sums, row).items()}
        history.append(record)
    return state, history


@partial(jax.jit, static_argnames=("train_step", "eval_step", "variables", "best", "mode"))
def _run(state, resident, epochs, judge, *, train_step, eval_step, variables, best, mode):
    """Returns the last or the best state, and the sums of every epoch, nan where it was not evaluated."""

    def evaluate(judged):
        def step(_, rows):
            return None, eval_step(judged, {"resident": judge["resident"], **rows})

        return _total(lax.scan(step, None, judge["plan"])[1])

    def rest(judged):
        shapes = jax.eval_shape(evaluate, judged)
        return jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes)

    def epoch(carry, now):
        (state, kept, least), (plan, due) = carry, now
        state, sums = lax.scan(lambda s, rows: train_step(s, {"resident": resident, **rows}), state, plan)
        sums, val_sums = _total(sums), {}
        if judge is not None:
            val_sums = lax.cond(due, evaluate, rest, variables(state) if variables else state.variables)
        if best is None:
            return (state, state, least), (sums, val_sums)
        value = lookup(_divide("", sums) | _divide("val_", val_sums), best, "metric")
        value = sign_of(best, mode) * value
        kept = jax.tree.map(partial(jnp.where, value < least), state, kept)
        return (state, kept, jnp.fmin(value, least)), (sums, val_sums)

    (_, kept, _), (sums, val_sums) = lax.scan(epoch, (state, state, jnp.float32(jnp.inf)), epochs)
    return kept, sums, val_sums


def _total(sums):
    """The sums of all batches (steps,) added up."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), sums)


def _divide(prefix, sums):
    return {prefix + name: mean_of_sums(sums, name) for name in (metric_names(sums) if sums else ())}


def _means(sums, row):
    return means(jax.tree.map(lambda values: values[row], sums))
