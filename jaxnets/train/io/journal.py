"""What a run writes to disk so that it can be resumed: a lock, metrics.jsonl and checkpoints."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from jaxnets.errors import UserError, whole
from jaxnets.machine.distributed import any_process, is_writer, run_on_writer, stop
from jaxnets.train.io.checkpoint import EVALUATED, Checkpoints, Meta
from jaxnets.train.io.workdir import (
    BEST,
    CHECKPOINTS,
    METRICS,
    append_metrics,
    check_records,
    locked,
    read_config,
    read_metrics,
    write_metrics,
)
from jaxnets.train.monitor import Mode, improvements, is_measured
from jaxnets.train.state import TrainState

SAVE_SECONDS = 1.0  # epochs shorter than this share a checkpoint; a killed run loses no more than this


@dataclasses.dataclass(frozen=True)
class Keep:
    """What `fit` keeps of a run, and where.

    Attributes:
        workdir: The run's folder, for metrics.jsonl and checkpoints, from which the same call resumes. None,
            the default, writes nothing to disk.
        checkpoints: Number of newest checkpoints to keep. Default: 2.
        best: A metric, such as "val_loss": the state with its best value is kept as well, in
            ``workdir/best``. Default: None.
        best_mode: Whether lower ("min") or higher ("max") is better; "auto", the default, goes by the
            metric's name.
        restore_best: Whether `fit` returns that state, except for its step, instead of the last one.

    Raises:
        UserError: If `checkpoints` is not positive, or `restore_best` is given without `best`.
    """

    workdir: Path | str | None = None
    checkpoints: int = 2
    best: str | None = None
    best_mode: Mode = "auto"
    restore_best: bool = False

    def __post_init__(self) -> None:
        whole("checkpoints", self.checkpoints, least=1)
        if self.restore_best and self.best is None:
            raise UserError("restore_best needs a metric: give best='val_loss', or another one")

    @property
    def folder(self) -> Path | None:
        """The run's folder; None if nothing is kept."""
        return None if self.workdir is None else Path(self.workdir)


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a training stands.

    Attributes:
        state: After the last step.
        sums: Of the running epoch, on the device.
        step: Steps taken: ``state.step``, but known to the host without waiting for the device.
        epoch: Epochs done.
        began: Start of the running epoch by `time.perf_counter`, as if it had never been interrupted; None
            between two epochs.
    """

    state: TrainState
    sums: Mapping[str, jax.Array]
    step: int
    epoch: int
    began: float | None = None

    def begin(self) -> "Position":
        """Returns the position with an epoch begun now, unless one has begun already."""
        return self if self.began is not None else dataclasses.replace(self, began=time.perf_counter())

    @property
    def seconds(self) -> float:
        """Returns the seconds that the running epoch has taken so far; 0 between two epochs."""
        return 0.0 if self.began is None else time.perf_counter() - self.began


class Journal(AbstractContextManager):
    """Restores, records and saves a run; without a workdir it only remembers.

    Args:
        keep: What to keep, and where.
        variables: Function from a state to the variables that the training evaluates, if not the state's own;
            saved beside every state, so that whoever uses the run gets what was evaluated.
    """

    def __init__(self, keep: Keep, variables: Callable[[TrainState], Any] | None = None):
        self.keep, self.workdir = keep, keep.folder
        self._variables = variables
        self.history: list[dict[str, Any]] = []
        self._best: TrainState | None = None  # kept on the device where there is no folder
        self._stack = ExitStack()
        self._saved = time.monotonic()
        self._checkpoints: Checkpoints | None = None
        self._bests: Checkpoints | None = None

    def __enter__(self) -> "Journal":
        """Locks the folder against a second run."""
        if self.workdir is not None:
            with ExitStack() as stack:
                lock = locked(self.workdir)
                run_on_writer(lambda: stack.enter_context(lock))
                if any_process(not self.workdir.is_dir()):
                    raise UserError(f"{self.workdir} is not seen by all hosts: give a folder that they share")
                newest = Checkpoints(self.workdir / CHECKPOINTS, self.keep.checkpoints)
                self._checkpoints = stack.enter_context(newest)
                if self.keep.best is not None:
                    self._bests = stack.enter_context(Checkpoints(self.workdir / BEST, keep=1))
                self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Waits for the last save, which takes all processes."""
        if error is not None:
            stop(error)
        self._stack.__exit__(kind, error, trace)

    def restore(self, at: Position) -> Position:
        """Returns the position of the newest checkpoint, or the one given if there is no checkpoint."""
        if self._checkpoints is None or self.workdir is None:
            return at
        log = self.workdir / METRICS
        if (found := self._checkpoints.restore(self._tree(at))) is None:
            run_on_writer(lambda: write_metrics(log, [], known=True))
            return at
        tree, meta = found
        self._restore_history(log, meta)
        epoch = self.history[-1]["epoch"] if self.history else at.epoch
        began = time.perf_counter() - meta["seconds"] if "seconds" in meta else None
        return Position(tree["state"], tree["sums"], int(tree["state"].step), epoch, began)

    def _restore_history(self, log: Path, meta: Meta) -> None:
        """Takes the records from the checkpoint, or from metrics.jsonl if an earlier version saved it."""
        assert self._checkpoints is not None
        where, known = self._checkpoints.directory, "history" in meta
        done = meta.get("epochs", 0)  # what earlier versions noted down instead
        if not isinstance(done, int) or not isinstance(meta.get("seconds", 0.0), int | float):
            raise UserError(f"the newest checkpoint in {where} does not say where it stands: remove it")
        if known:
            self.history = check_records(meta["history"], where)
        else:
            self.history = [record for record in read_metrics(log) if record["epoch"] <= done]
        run_on_writer(lambda: write_metrics(log, self.history, known=known))

    def append(self, record: dict[str, Any]) -> None:
        """Appends an epoch's record, which reaches the disk before any checkpoint after that epoch."""
        self.history.append(record)
        if self.workdir is not None and is_writer():
            append_metrics(self.workdir / METRICS, record)

    def save(self, at: Position, *, now: bool = False) -> None:
        """Saves, unless the last save is younger than `SAVE_SECONDS`; with `now`, always."""
        if self._checkpoints is not None and (now or self._due()):
            if self._bests is not None:
                self._bests.wait()  # what counts an epoch must not be on the disk before that epoch's best
            self._checkpoints.save(at.step, self._tree(at), self._meta(at.seconds))
            self._saved = time.monotonic()

    def _due(self) -> bool:
        due = time.monotonic() - self._saved >= SAVE_SECONDS
        if jax.process_count() > 1:  # clocks differ, and a save waits for all processes: the first decides
            due = bool(multihost_utils.broadcast_one_to_all(due))
        return due

    def save_if_best(self, at: Position) -> None:
        """Keeps the state if the last record is the best so far."""
        best = self.keep.best
        if best is None or not is_measured(best, self.history):
            return
        if improvements(self.history, best, self.keep.best_mode)[-1] == len(self.history) - 1:
            if self._bests is not None:
                self._bests.save(at.step, self._tree(at), self._meta())
            else:
                self._best = jax.tree.map(jax.numpy.copy, at.state)  # the next step takes the buffers over

    def restore_best(self, at: Position) -> TrainState:
        """Returns the best state seen, averages included, but with the last state's step."""
        best = self._best
        if self._bests is not None and (found := self._bests.restore(self._tree(at))):
            best = found[0]["state"]
        return at.state if best is None else dataclasses.replace(best, step=at.state.step)

    def _tree(self, at: Position) -> dict[str, Any]:
        """Returns what a checkpoint holds."""
        tree = {"state": at.state, "sums": at.sums}
        return tree if self._variables is None else tree | {EVALUATED: self._variables(at.state)}

    def _meta(self, seconds: float = 0.0) -> Mapping[str, Any]:
        assert self.workdir is not None
        config = read_config(self.workdir) if (self.workdir / "config.json").exists() else {}
        noted = {"history": self.history, "config": config}
        return {**noted, "seconds": seconds} if seconds else noted
