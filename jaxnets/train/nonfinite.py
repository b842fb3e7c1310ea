"""A loss or a gradient that is nan or infinite: nothing it touched is kept, and what led to it is saved."""

import dataclasses
import inspect
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

    A step whose loss or gradient is not finite leaves the state as it was. Unless such steps are skipped, so
    do all after it: the state stays the one before the first of them until the host looks (`report`).
    """

    def is_sound(sums: Any) -> jax.Array:
        return jnp.isfinite(sums["loss"]) & jnp.isfinite(sums["count"])

    before = is_sound(sums) if sums and not skip else True
    if "sound" in inspect.signature(train_step).parameters:
        new, some = train_step(state, batch, before)
        sound = is_sound(some) & before
    else:  # one that `make_train_step` has not made: it learns from anything
        new, some = train_step(state, batch)
        sound = is_sound(some) & before
        old = dataclasses.replace(state, step=new.step)
        new = jax.tree.map(lambda after, before: jnp.where(sound, after, before), new, old)
    if skip:
        some = jax.tree.map(lambda value: jnp.where(sound, value, 0), some)
        some["skipped"] = jnp.where(sound, 0.0, jnp.sum(batch["mask"]))
    else:
        new = dataclasses.replace(new, step=jnp.where(sound, new.step, state.step))
    return new, jax.tree.map(jnp.add, sums, some) if sums else some


def report(sums: Any, state: TrainState, train: OnDevice, workdir: Path | None) -> None:
    """Raises UserError where the running sums are not finite; saves what led there in the workdir."""
    loss, count = float(sums["loss"]), float(sums["count"])
    if np.isfinite(loss) and np.isfinite(count):
        return
    what = "gradient is not finite" if np.isfinite(loss) else f"training loss is {loss}"
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
            (folder / "batch.json").write_text(json.dumps(notes) + "\n", encoding="utf-8")
        found = f"; the state before it and the batch's examples are in {folder}"
    raise UserError(
        f"the {what} at step {step + 1}{found}: look at those examples, or try a smaller learning rate"
    )


def check_some_kept(sums: Any, epoch: int) -> None:
    """Raises UserError where every step of an epoch was skipped: there is nothing to tell of it."""
    if "skipped" in sums and not float(sums["count"]):
        raise UserError(
            f"every step of epoch {epoch} was skipped, since no loss and gradient was finite: try a smaller "
            "learning rate, or look at the examples"
        )
