"""Handling a nan or infinite loss or gradient: it changes no state, and what led to it is saved."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.iterables import IterableBatches
from jaxnets.data.sampler import Batches
from jaxnets.errors import UserError
from jaxnets.machine.distributed import is_writer
from jaxnets.train.io.checkpoint import Checkpoints
from jaxnets.train.state import TrainState
from jaxnets.train.step import ConditionalStep


def guarded(train_step: Any, skip: bool, state: TrainState, sums: Any, batch: Any) -> tuple[TrainState, Any]:
    """Takes one step and adds its sums to those of the epoch so far ({} before the first batch); pure.

    A step whose loss or gradient is not finite leaves the state unchanged. Unless such steps are skipped, so
    do all later ones: the state stays the one before the first of them until `check_finite` is called.
    """

    def is_finite(sums: Any) -> jax.Array:
        return jnp.isfinite(sums["loss"]) & jnp.isfinite(sums["count"])

    before = is_finite(sums) if sums and not skip else jnp.bool_(True)
    if isinstance(train_step, ConditionalStep):
        new, some = train_step.conditional(state, batch, before)
        learned = is_finite(some) & before
    else:  # one that `make_train_step` has not made: it learns from anything
        new, some = train_step(state, batch)
        learned = is_finite(some) & before
        old = dataclasses.replace(state, step=new.step)
        new = jax.tree.map(lambda after, before: jnp.where(learned, after, before), new, old)
    if skip:
        some = jax.tree.map(lambda value: jnp.where(learned, value, 0), some)
        some["skipped"] = jnp.where(learned, 0.0, jnp.sum(batch["mask"]))
    else:
        new = dataclasses.replace(new, step=jnp.where(learned, new.step, state.step))
    return new, jax.tree.map(jnp.add, sums, some) if sums else some


def check_finite(
    sums: Any, state: TrainState, batches: Batches | IterableBatches, workdir: Path | None
) -> None:
    """Raises UserError if the running sums are not finite, and saves what led to it in the workdir."""
    loss, count = float(sums["loss"]), float(sums["count"])
    if np.isfinite(loss) and np.isfinite(count):
        return
    what = "gradient is not finite" if np.isfinite(loss) else f"training loss is {loss}"
    step, found, labels, index = int(state.step), "", "", []
    if isinstance(batches, Batches):
        epoch, position = divmod(step, batches.steps_per_epoch)
        index = batches.sharded(0, 1).plan(epoch)["index"][position].tolist()
    if workdir is not None:
        folder = workdir / "nonfinite"
        with Checkpoints(folder) as checkpoints:
            checkpoints.save(step, {"state": state, "sums": {}})
        notes: dict[str, Any] = {"step": step + 1, "loss": str(loss)}
        found = f"; the state before it is in {folder}"
        if index:
            notes["examples"] = index
            found = f"; the state before it and the batch's examples are in {folder}"
        if is_writer():
            (folder / "batch.json").write_text(json.dumps(notes) + "\n", encoding="utf-8")
    y: Any = batches.source[np.array(index)]["y"] if isinstance(batches, Batches) else None
    if y is not None and y.dtype == np.int32:  # a label without an output makes a loss of nan
        labels = f", with labels from {y.min()} to {y.max()}"
    advice = "look at those examples, or try a smaller learning rate"
    raise UserError(f"the {what} at step {step + 1}{labels}{found}: {advice}")


def check_some_kept(sums: Any, epoch: int) -> None:
    """Raises UserError if every step of an epoch was skipped: there is nothing to record."""
    if "skipped" in sums and not float(sums["count"]):
        raise UserError(
            f"every step of epoch {epoch} was skipped, since none had a finite loss and gradient: try a "
            "smaller learning rate, or look at the examples"
        )
