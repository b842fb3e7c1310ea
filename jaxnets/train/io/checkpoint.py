"""Saving and restoring a run's state with Orbax: asynchronous, atomic, and checked on the way back."""

import gc
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import Any

import jax
from flax import serialization
from jax.sharding import SingleDeviceSharding

from jaxnets.errors import UserError, reason
from jaxnets.files import set_aside
from jaxnets.machine.distributed import any_process, fail, run_on_writer
from jaxnets.train.io.integrity import (
    FORMAT,
    Meta,
    abstract,
    check_layout,
    checksums,
    digest,
    is_intact,
    leaves,
    shapes,
)
from jaxnets.train.io.quiet import quiet

ABANDONED = 0.2  # seconds for what an error leaves behind to end, while nothing is printed of it
OURS = ("format", "checksums", "digest")  # what is in a file's meta besides what was given to `save`
EVALUATED = "evaluated"  # saved as well: the variables that were evaluated, unless they are the state's own


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

    def __init__(self, directory: Path | str, keep: int = 2):
        import orbax.checkpoint as ocp

        self.directory = Path(directory).absolute()
        self.meta: Meta = {}  # of what was read last
        self._ocp = ocp
        self._said: dict[int, str] = {}  # the meta of what was saved or read here, as JSON
        self._quiet = ExitStack()
        with quiet(), self._writing(), self._listing():
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
                item_handlers={"tree": ocp.StandardCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()},
            )

    def __enter__(self) -> "Checkpoints":
        """Returns itself; leaving the block waits for the last save."""
        self._quiet.enter_context(quiet(self._failed))
        return self

    def __exit__(self, *_: Any) -> None:
        with self._quiet, self._writing():
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
        said = json.dumps(meta or {})
        if step == self.latest:
            if self._said.get(step) == said:
                return
            self._manager.delete(step)  # of the same step, from before its epoch was judged
        self._said[step] = said
        tree, args = serialization.to_state_dict(tree), self._ocp.args
        notes = {**json.loads(said), "format": FORMAT, "checksums": checksums(tree)}
        notes["digest"] = digest(notes)
        with self._writing():
            size, free = sum(leaf.nbytes for leaf in leaves(tree).values()), disk_usage(self.directory).free
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
        seen = any_process if move else bool  # all processes of a training use the same one
        for step in sorted(self._manager.all_steps(), reverse=True):
            found: Any = None
            why = ""
            try:
                found = read(step)
            except _Damaged as error:
                why = str(error)
            if why:
                gc.collect()  # of abandoned reads
            if not seen(bool(why)):
                tree, meta, sums = found
                why = "its contents changed on the disk" if sums and checksums(tree) != sums else ""
                if not seen(bool(why)):
                    if damaged and not move:
                        skipped = "; ".join(damaged)
                        print(f"damaged in {self.directory}, passed over: {skipped}", file=sys.stderr)
                    return tree, meta
            damaged.append(f"step {step}: {why}")
            if move:
                self._set_aside(step, why or "seen by another process")
        if damaged and not move:
            raise UserError(f"no checkpoint in {self.directory} is sound ({'; '.join(damaged)})")
        if damaged:
            raise UserError(
                f"no checkpoint in {self.directory} is sound; the damaged ones are now in {self._aside}: "
                "restore them from elsewhere, or give the command again to start anew"
            )
        return None

    def _read(self, step: int, wanted: Any) -> tuple[Any, Meta, dict[str, int]]:
        args, folder = self._ocp.args, self.directory / str(step)
        with _reading():
            meta = self._manager.restore(step, args=args.Composite(meta=args.JsonRestore())).meta
        if not is_intact(meta):
            raise _Damaged("what it notes down changed on the disk")
        if meta.get("format") not in (FORMAT, 3, *([] if EVALUATED in meta else [2])):
            raise UserError(
                f"the checkpoint {folder} has format {meta.get('format')}, and this jaxnets reads {FORMAT}: "
                "continue it with the version that made it, or train anew in another workdir"
            )
        meta, sums = {key: value for key, value in meta.items() if key not in OURS}, meta["checksums"]
        self.meta, self._said[step] = meta, json.dumps(meta)
        with _reading():
            saved = self._manager.item_metadata(step).tree.tree
        if wanted is not None:
            check_layout(folder, shapes(saved), shapes(wanted))
            target = jax.tree.map(abstract, wanted)
        else:  # on one device, however many the run had, and in however many processes
            here = SingleDeviceSharding(jax.local_devices()[0])
            target = jax.tree.map(lambda leaf: abstract(leaf, here), saved)
        with _reading():
            tree = self._manager.restore(step, args=args.Composite(tree=args.StandardRestore(target))).tree
        return tree, meta, sums

    @property
    def _aside(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}-damaged")

    def _set_aside(self, step: int, why: str) -> None:
        """Moves a checkpoint out of the way: one process does it, and the others wait."""

        def move() -> None:
            aside = set_aside(self.directory / str(step), self._aside / str(step))
            print(f"the checkpoint of step {step} is damaged ({why}): set aside as {aside}", file=sys.stderr)

        run_on_writer(move)
        self._manager.reload()

    @contextmanager
    def _listing(self) -> Iterator[None]:
        """Turns what Orbax raises on its own metadata, which it reads of every step, into a UserError."""
        try:
            yield
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise UserError(
                f"a file _CHECKPOINT_METADATA in {self.directory} is damaged ({reason(error)}): remove it, "
                "since nothing in it is needed"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns a failed write, which Orbax reports at its next call, into a UserError if the disk failed."""
        try:
            yield
        except (OSError, ValueError) as error:
            if (refused := self._unwritten(error)) is None:
                raise
            time.sleep(ABANDONED)
            raise refused from error

    def _unwritten(self, error: BaseException) -> UserError | None:
        """Returns what to tell about an error if a disk is the cause."""
        found = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore reports it as a ValueError
        if not isinstance(error, OSError) and not found:
            return None
        said = error.strerror if isinstance(error, OSError) else None
        why = os.strerror(int(found[1])) if found else said or str(error).splitlines()[0][:200]
        return UserError(
            f"cannot save a checkpoint in {self.directory} ({why}): make room, or choose a --workdir "
            "that can be written; the last complete checkpoint is kept"
        )

    def _failed(self, error: BaseException) -> None:
        """Tells the other processes of a write that failed in this one alone: Orbax has all wait for it."""
        if refused := self._unwritten(error):
            fail(refused)


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
        time.sleep(ABANDONED)
        raise _Damaged(str(error) if isinstance(error, OSError) else type(error).__name__) from error
