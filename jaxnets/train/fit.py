"""The training loop: the only one, and the only place where state, data, metrics and checkpoints meet."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.device import OnDevice, on_device
from jaxnets.data.sampler import Batches
from jaxnets.errors import UserError
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.progress import Progress, make_progress
from jaxnets.train.state import TrainState
from jaxnets.train.step import means
from jaxnets.train.workdir import CHECKPOINTS, MetricsLog

SAVE_SECONDS = 1.0  # epochs shorter than this share a checkpoint; a run loses no more than this when killed

Callback = Callable[[TrainState, Mapping[str, Any]], None]


def fit(
    state: TrainState,
    train_step: Callable[..., Any],
    train: Batches | OnDevice,
    *,
    epochs: int,
    eval_step: Callable[..., Any] | None = None,
    validation: Batches | OnDevice | None = None,
    workdir: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Trains up to `epochs` epochs in all, from the workdir's last checkpoint when there is one.

    Args:
        state: where to start; taken over (its buffers are donated to the first step).
        train_step: a pure step, as `make_train_step` returns it.
        train: the batches to learn from; they go to the device as `on_device` does by itself, or as given.
        epochs: how many epochs the run has in all, those done before included.
        eval_step: a pure step, as `make_eval_step` returns it.
        validation: the batches to judge by after every epoch.
        workdir: where metrics.jsonl and checkpoints go; nothing is written when left out.
        callbacks: called after every epoch with the state and the epoch's record.

    Returns:
        The state after the last epoch, and a record an epoch: epoch (from 1), step, loss, accuracy,
        val_loss, val_accuracy, seconds, examples_per_second (of the training part).

    Raises:
        UserError: `epochs` is not positive, the loss is not finite, or the checkpoint does not fit.

    Example:
        >>> import jax, optax
        >>> from jaxnets import data, models, train
        >>> model, optimizer = models.MODELS["perceptron"](), optax.sgd(0.1)
        >>> iris = data.load("iris")
        >>> state = train.make_state(model, optimizer, iris.features.shape)
        >>> step = train.make_train_step(model, optimizer)
        >>> state, history = train.fit(state, step, data.Batches(iris.train, 32, seed=0), epochs=2)
        >>> [record["epoch"] for record in history]
        [1, 2]
    """
    if epochs < 1:
        raise UserError(f"{epochs} epochs: it must be at least 1")
    train, validation = on_device(train), on_device(validation) if validation is not None else None
    step = jax.jit(partial(_accumulate, train_step), donate_argnums=(0, 1))
    measure = jax.jit(eval_step) if eval_step is not None else None
    with ExitStack() as stack:
        checkpoints = log = None
        if workdir is not None:
            checkpoints = stack.enter_context(Checkpoints(workdir / CHECKPOINTS))
            if checkpoints.latest is not None:
                state = checkpoints.restore(state)
            log = MetricsLog(workdir / "metrics.jsonl", int(state.step) // train.steps_per_epoch)
        history: list[dict[str, Any]] = log.records if log is not None else []
        done = int(state.step) // train.steps_per_epoch
        progress = stack.enter_context(make_progress(epochs, done, len(train.source)))
        saved = time.monotonic()
        for epoch in range(done, epochs):
            state, record = _train_epoch(step, state, train, epoch, progress)
            if measure is not None and validation is not None:
                held_out = evaluate(measure, state.variables, validation)
                record |= {f"val_{name}": value for name, value in held_out.items()}
            history.append(record)
            if log is not None:
                log.append(record)  # before the checkpoint: a line too many is dropped when resuming
            if checkpoints is not None and (epoch + 1 == epochs or time.monotonic() - saved >= SAVE_SECONDS):
                checkpoints.save(state)
                saved = time.monotonic()
            progress.end_epoch(record)
            for callback in callbacks:
                callback(state, record)
    return state, history


def _train_epoch(
    step: Callable[..., Any], state: TrainState, train: OnDevice, epoch: int, progress: Progress
) -> tuple[TrainState, dict[str, Any]]:
    """Runs one epoch; the sums stay on the device, so that the host runs ahead of it."""
    start = time.perf_counter()
    sums: dict[str, jax.Array] = {}
    for batch in train.epoch(epoch):
        sums = sums or _zeros(step, state, batch)
        state, sums = step(state, sums, batch)
        progress.update(epoch + 1, int(batch["mask"].sum()), sums)
    trained = means(sums)  # waits for the device
    seconds = time.perf_counter() - start
    check_loss(trained["loss"], epoch + 1)
    rate = len(train.source) / seconds
    record = {"epoch": epoch + 1, "step": int(state.step), "loss": trained.pop("loss"), **trained}
    return state, record | {"seconds": round(seconds, 3), "examples_per_second": round(rate, 1)}


def evaluate(
    eval_step: Callable[..., Any], variables: Mapping[str, Any], batches: Batches | OnDevice
) -> dict[str, float]:
    """Returns the means of loss and measures over all examples of `batches`, each counted once."""
    sums: Any = None
    for batch in on_device(batches).epoch():
        some = eval_step(variables, batch)
        sums = some if sums is None else jax.tree.map(jnp.add, sums, some)
    return means(sums)


def check_loss(loss: float, epoch: int) -> None:
    """Raises UserError when an epoch's loss is not finite: nothing good comes after it."""
    if not np.isfinite(loss):
        raise UserError(f"the training loss is {loss} in epoch {epoch}: try a smaller learning rate")


def _accumulate(train_step, state, sums, batch):
    """One step, its sums added to those of the epoch so far ({}: the first batch's own)."""
    state, some = train_step(state, batch)
    return state, jax.tree.map(jnp.add, sums, some) if sums else some


def _zeros(step, state, batch):
    """Sums to start an epoch with, so that its first step is the same program as the others."""
    _, sums = jax.eval_shape(step, state, {}, batch)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), sums)
