"""Saving and restoring a run's state with Orbax: asynchronous, atomic, and checked on the way back."""

import os
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import Any

import jax
import numpy as np
from flax import serialization, traverse_util
from jax.sharding import Sharding, SingleDeviceSharding

from jaxnets.errors import UserError
from jaxnets.files import writing
from jaxnets.machine.distributed import any_process, run_on_writer

# A checkpoint is {"state": TrainState, "sums": of the running epoch} and `meta`. Format 2 was the same, but
# its `meta` told where in the state averaged weights lay.
FORMAT = 3
EVALUATED = "evaluated"  # saved as well: the variables that were evaluated, unless they are the state's own
Meta = Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run, one folder per saved step.

    A save returns as soon as the arrays are copied off the device and writes in the background; a folder
    gets its name only when it is complete, so a killed run never leaves one that only looks finished. The
    checksum of every array is stored beside it: a checkpoint that has changed on disk is set aside, and the
    previous one is used.

    Args:
        directory: Their folder, created if missing.
        keep: Number of newest checkpoints to keep.
    """

    def __init__(self, directory: Path, keep: int = 2):
        import orbax.checkpoint as ocp

        self.directory = Path(directory).absolute()
        self._ocp = ocp
        self._said: dict[int, Meta | None] = {}  # the meta of what was saved or read here
        with self._writing():
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
                item_handlers={"tree": ocp.StandardCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()},
            )

    def __enter__(self) -> "Checkpoints":
        """Returns itself; leaving the block waits for the last save."""
        return self

    def __exit__(self, *_: Any) -> None:
        with self._writing():
            self._manager.close()

    def wait(self) -> None:
        """Waits until the last save is on disk."""
        with self._writing():
            self._manager.wait_until_finished()

    @property
    def latest(self) -> int | None:
        """Returns the newest step saved; None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, tree: Any, meta: Meta | None = None) -> None:
        """Saves a pytree of arrays and the JSON-serializable `meta`, unless both are there already.

        Raises:
            UserError: If the folder cannot be written (full or read-only); earlier checkpoints are kept.
        """
        if step == self.latest:
            if self._said.get(step) == meta:
                return
            self._manager.delete(step)  # of the same step, from before its epoch was judged
        self._said[step] = meta
        tree, args = serialization.to_state_dict(tree), self._ocp.args
        notes = {**(meta or {}), "format": FORMAT, "checksums": _checksums(tree)}
        with self._writing():
            size, free = sum(leaf.nbytes for leaf in _leaves(tree).values()), disk_usage(self.directory).free
            if size > free:  # said before Orbax's threads say it in a hundred lines
                raise OSError(f"{size / 1e6:,.1f} MB to write and {free / 1e6:,.1f} MB free")
            self._manager.save(
                step, args=args.Composite(tree=args.StandardSave(tree), meta=args.JsonSave(notes))
            )

    def restore(self, like: Any) -> tuple[Any, Meta] | None:
        """Returns the newest intact tree, placed on the devices as `like` is, and its meta; None if none.

        Raises:
            UserError: If the checkpoint is of another network, optimizer or format, or all are damaged.
        """
        tree = serialization.to_state_dict(like)
        found = self._newest(lambda step: self._read(step, tree))
        return None if found is None else (serialization.from_state_dict(like, found[0]), found[1])

    def restore_variables(self) -> dict[str, Any] | None:
        """Returns the variables {"params": ..., "batch_stats": ...} of the newest intact checkpoint.

        These are the variables that the training evaluated: the averaged weights, if it evaluated those.
        Damaged checkpoints stay where they are: a training may be using the folder, or it may be read-only.
        """
        found = self._newest(lambda step: self._read(step, None), move=False)
        if found is None:
            return None
        tree, _ = found
        state = tree["state"]
        return tree.get(EVALUATED, {"params": state["params"], **state["model_state"]})

    def _newest(self, read: Any, move: bool = True) -> Any:
        damaged: list[str] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            found, reason = None, ""
            try:
                found = read(step)
            except _Damaged as error:
                reason = str(error)
            if not (any_process(bool(reason)) if move else reason):  # all processes use the same one
                if damaged and not move:
                    print(f"damaged in {self.directory}, passed over: {'; '.join(damaged)}", file=sys.stderr)
                return found
            damaged.append(f"step {step}: {reason}")
            if move:
                self._set_aside(step, reason or "seen by another process")
        if damaged and not move:
            raise UserError(f"no checkpoint in {self.directory} is sound ({'; '.join(damaged)})")
        if damaged:
            raise UserError(
                f"no checkpoint in {self.directory} is sound; the damaged ones are now in {self._aside}: "
                "restore them from elsewhere, or give the command again to start anew"
            )
        return None

    def _read(self, step: int, wanted: Any) -> tuple[Any, Meta]:
        args, folder = self._ocp.args, self.directory / str(step)
        with _reading():
            meta = self._manager.restore(step, args=args.Composite(meta=args.JsonRestore())).meta
        if meta.get("format") not in (FORMAT, *([] if EVALUATED in meta else [2])):
            raise UserError(
                f"the checkpoint {folder} has format {meta.get('format')}, and this jaxnets reads {FORMAT}: "
                "continue it with the version that made it, or train anew in another workdir"
            )
        self._said[step] = {key: value for key, value in meta.items() if key not in ("format", "checksums")}
        with _reading():
            saved = self._manager.item_metadata(step).tree.tree
        if wanted is not None:
            _check_layout(folder, _shapes(saved), _shapes(wanted))
            target = jax.tree.map(_abstract, wanted)
        else:  # on one device, however many the run had, and in however many processes
            here = SingleDeviceSharding(jax.local_devices()[0])
            target = jax.tree.map(lambda leaf: _abstract(leaf, here), saved)
        with _reading():
            tree = self._manager.restore(step, args=args.Composite(tree=args.StandardRestore(target))).tree
        if (sums := _checksums(tree)) and meta["checksums"] and sums != meta["checksums"]:
            raise _Damaged("its contents changed on the disk")
        return tree, meta

    @property
    def _aside(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}-damaged")

    def _set_aside(self, step: int, reason: str) -> None:
        """Moves a checkpoint out of the way: one process does it, and the others wait."""

        def move() -> None:
            aside = self._aside / str(step)
            while aside.exists():
                aside = aside.with_name(f"{aside.name}-again")
            with writing(aside):
                aside.parent.mkdir(exist_ok=True)
                (self.directory / str(step)).rename(aside)
            print(
                f"the checkpoint of step {step} is damaged ({reason}): set aside as {aside}", file=sys.stderr
            )

        run_on_writer(move)
        self._manager.reload()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns a failed write, which Orbax reports at its next call, into a UserError if the disk failed."""
        try:
            yield
        except (OSError, ValueError) as error:
            found = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore reports it as a ValueError
            if not isinstance(error, OSError) and not found:
                raise
            reason = os.strerror(int(found[1])) if found else str(error).splitlines()[0][:200]
            raise UserError(
                f"cannot save a checkpoint in {self.directory} ({reason}): make room, or choose a --workdir "
                "that can be written; the last complete checkpoint is kept"
            ) from error


class _Damaged(Exception):
    """A checkpoint that cannot be read, or differs from what was written."""


@contextmanager
def _reading() -> Iterator[None]:
    """Turns whatever Orbax raises on a broken file into `_Damaged`; running out of memory is not damage."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        raise _Damaged(str(error) if isinstance(error, OSError) else type(error).__name__) from error


def _check_layout(folder: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
    for path in sorted(saved.keys() | wanted.keys()):
        there, here = saved.get(path, "missing"), wanted.get(path, "missing")
        if there != here:
            raise UserError(
                f"the checkpoint {folder} is of another network or optimizer: {path} is {there} there and "
                f"{here} here; use the settings it was made with, or another workdir"
            )


def _abstract(x: Any, sharding: Sharding | None = None) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding or x.sharding)


def _leaves(tree: Any) -> dict[str, Any]:
    return traverse_util.flatten_dict(tree, sep="/")


def _shapes(tree: Any) -> dict[str, str]:
    return {path: f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for path, leaf in _leaves(tree).items()}


def _checksums(tree: Any) -> dict[str, int]:
    """Returns the CRC-32 of every array; {} if this process does not hold the whole arrays."""
    leaves = _leaves(tree)
    if not all(leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in leaves.values()):
        return {}
    return {path: zlib.crc32(np.ascontiguousarray(leaf).tobytes()) for path, leaf in leaves.items()}
