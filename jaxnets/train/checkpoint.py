"""Saving and restoring a TrainState with Orbax: asynchronous, atomic, checked against the state asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization, traverse_util

from jaxnets.errors import UserError
from jaxnets.train.state import TrainState

FORMAT = 1  # of what is saved; raised when the layout changes


class Checkpoints:
    """The checkpoints of one run, one folder a step.

    A save returns as soon as the arrays are copied off the device and writes in the background; a folder
    gets its name only when it is complete, so a killed run leaves none that looks finished and is not.

    Args:
        directory: where they lie; made when missing.
        keep: how many of the newest stay.
    """

    def __init__(self, directory: Path, keep: int = 2):
        import orbax.checkpoint as ocp

        self.directory = Path(directory).absolute()
        self._ocp = ocp
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
            item_handlers={"state": ocp.StandardCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()},
        )

    def __enter__(self) -> "Checkpoints":
        """Returns itself; leaving the block waits for the last save."""
        return self

    def __exit__(self, *_: Any) -> None:
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """The newest step saved, None when there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Saves the state under its step, unless that is there already."""
        step = int(state.step)
        if step != self.latest:
            args = self._ocp.args
            tree = serialization.to_state_dict(state)
            items = {"state": args.StandardSave(tree), "meta": args.JsonSave({"format": FORMAT})}
            self._manager.save(step, args=args.Composite(**items))

    def restore(self, like: TrainState) -> TrainState:
        """Returns the newest saved state, laid out on the devices as `like` is.

        Raises:
            UserError: the checkpoint is damaged or empty, or it is of another network or optimizer.
        """
        tree = serialization.to_state_dict(like)
        self._check_layout(tree)
        return serialization.from_state_dict(like, self._read(jax.tree.map(_abstract, tree)))

    def restore_variables(self) -> dict[str, Any]:
        """Returns what `model.apply` takes, {"params": ..., "batch_stats": ...}, of the newest checkpoint."""
        state = self._read(None)
        return {"params": state["params"], **state["model_state"]}

    def _read(self, target: Any) -> Any:
        args = self._ocp.args
        with self._explained():
            return self._manager.restore(
                self.latest, args=args.Composite(state=args.StandardRestore(target))
            ).state

    def _check_layout(self, tree: Any) -> None:
        with self._explained():
            saved = _shapes(self._manager.item_metadata(self.latest).state.tree)
        wanted = _shapes(tree)
        for path in sorted(saved.keys() | wanted.keys()):
            if saved.get(path) != wanted.get(path):
                there, here = saved.get(path, "missing"), wanted.get(path, "missing")
                raise UserError(
                    f"the checkpoint {self._folder} is of another network or optimizer: {path} is {there} "
                    f"there and {here} here; ask for what it was made with, or use another workdir"
                )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns whatever Orbax raises on a damaged folder into one sentence."""
        try:
            yield
        except Exception as error:
            raise UserError(
                f"the checkpoint {self._folder} is damaged or incomplete ({type(error).__name__}): move that "
                "folder away to continue from the one before it, or start again in another workdir"
            ) from error

    @property
    def _folder(self) -> Path:
        return self.directory / str(self.latest)


def _abstract(x: Any) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _shapes(tree: Any) -> dict[str, str]:
    leaves = traverse_util.flatten_dict(tree, sep="/")
    return {path: f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for path, leaf in leaves.items()}
