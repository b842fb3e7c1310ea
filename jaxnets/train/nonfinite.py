"""A loss that is nan or infinite: nothing it touched is kept, and what led to it is saved."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.device import OnDevice
from jaxnets.errors import UserError
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.distributed import is_writer
from jaxnets.train.state import TrainState


def guarded(train_step: Any, skip: bool, state: TrainState, sums: Any, batch: Any) -> tuple[TrainState, Any]:
    """One step, its sums added to those of the epoch so far ({}: the first batch's own). Pure.

    A step whose loss is not finite leaves the state as it was. Unless such steps are skipped, so do all
    after it, so that the state stays the one before the first of them, until the host looks (`report`).
    """
    new, some = train_step(state, batch)
    if skip:
        sound = jnp.isfinite(some["loss"])
        kept = jax.tree.map(lambda value: jnp.where(sound, value, 0), some)
        kept["skipped"] = jnp.where(sound, 0.0, 1.0) * some["count"]
        total = jax.tree.map(jnp.add, sums, kept) if sums else kept
        old = dataclasses.replace(state, step=new.step)
    else:
        total = jax.tree.map(jnp.add, sums, some) if sums else some
        sound, old = jnp.isfinite(total["loss"]), state
    return jax.tree.map(lambda after, before: jnp.where(sound, after, before), new, old), total


def report(sums: Any, state: TrainState, train: OnDevice, workdir: Path | None) -> None:
    """Raises UserError where the running sums are not finite; saves what led there in the workdir."""
    if np.isfinite(loss := float(sums["loss"])):
        return
    step = int(state.step)
    epoch, position = divmod(step, train.steps_per_epoch)
    found = ""
    if workdir is not None:
        folder = workdir / "nonfinite"
        with Checkpoints(folder) as checkpoints:
            checkpoints.save(step, {"state": state, "sums": {}})
        index = train.batches.sharded(0, 1).plan(epoch)["index"][position]
        notes = {"step": step + 1, "loss": str(loss), "examples": index.tolist()}
        if is_writer():
            (folder / "batch.json").write_text(json.dumps(notes) + "\n")
        found = f"; the state before it and the batch's examples are in {folder}"
    raise UserError(
        f"the training loss is {loss} at step {step + 1}{found}: look at those examples, or try a smaller "
        "learning rate"
    )
