"""What a run leaves on the disk so that it can go on: a lock, metrics.jsonl and checkpoints."""

import dataclasses
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from jaxnets.errors import UserError
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.distributed import anywhere, by_writer, is_writer
from jaxnets.train.monitor import Mode, improvements, is_measured
from jaxnets.train.state import TrainState
from jaxnets.train.workdir import BEST, CHECKPOINTS, MetricsLog, locked, read_config

SAVE_SECONDS = 1.0  # epochs shorter than this share a checkpoint; a killed run loses no more than this


class Journal(AbstractContextManager):
    """Restores, records and saves a run; without a workdir it only remembers.

    Args:
        workdir: the run's folder; None to leave nothing on the disk.
        keep: how many of the newest checkpoints stay.
        monitor: keep the best state by this measure as well, in `workdir/best`; None not to.
        mode: whether less or more of it is better.
        evaluated: what the training judges, as `origins` tells it; noted beside every checkpoint.

    Attributes:
        seconds: what the running epoch has taken up to the restored state.
    """

    def __init__(
        self,
        workdir: Path | None,
        keep: int = 2,
        monitor: str | None = None,
        mode: Mode = "auto",
        evaluated: Mapping[str, str] | None = None,
    ):
        self.workdir, self.monitor, self.mode = workdir, monitor, mode
        self.seconds = 0.0
        self._evaluated = dict(evaluated or {})
        self.history: list[dict[str, Any]] = []
        self.best: TrainState | None = None  # kept on the device where there is no folder
        self._stack = ExitStack()
        self._keep, self._saved = keep, time.monotonic()
        self._log: MetricsLog | None = None
        self._checkpoints: Checkpoints | None = None
        self._bests: Checkpoints | None = None

    def __enter__(self) -> "Journal":
        """Locks the folder, against a second run in it."""
        if self.workdir is not None:
            with ExitStack() as stack:
                lock = locked(self.workdir)
                by_writer(lambda: stack.enter_context(lock))
                if anywhere(not self.workdir.is_dir()):
                    raise UserError(f"{self.workdir} is not on all hosts: give a folder that they share")
                self._checkpoints = stack.enter_context(Checkpoints(self.workdir / CHECKPOINTS, self._keep))
                if self.monitor is not None:
                    self._bests = stack.enter_context(Checkpoints(self.workdir / BEST, keep=1))
                self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        """Waits for the last save."""
        self._stack.__exit__(*error)

    def restore(self, state: TrainState, sums: Any) -> tuple[TrainState, Any]:
        """Returns the newest saved state and the sums of its running epoch, or those given."""
        if self._checkpoints is None or self.workdir is None:
            return state, sums
        found = self._checkpoints.restore({"state": state, "sums": sums})
        done = 0
        if found is not None:
            state, sums, done = found[0]["state"], found[0]["sums"], found[1]["epochs"]
            self.seconds = found[1].get("seconds", 0.0)
        self._log = MetricsLog(self.workdir / "metrics.jsonl", done, write=is_writer())
        self.history = self._log.records
        return state, sums

    def append(self, record: dict[str, Any]) -> None:
        """Adds an epoch's record, on the disk before any checkpoint that counts it."""
        self.history.append(record)
        if self._log is not None and is_writer():
            self._log.append(record)

    def save(self, state: TrainState, sums: Any, *, now: bool = False, seconds: float = 0.0) -> None:
        """Saves, unless the last save is younger than `SAVE_SECONDS`; `now`: in any case.

        `seconds`: what the running epoch has taken so far.
        """
        if self._checkpoints is not None and (now or self._due()):
            if self._bests is not None:
                self._bests.wait()  # what counts an epoch must not be on the disk before that epoch's best
            self._checkpoints.save(int(state.step), {"state": state, "sums": sums}, self._meta(seconds))
            self._saved = time.monotonic()

    def _due(self) -> bool:
        due = time.monotonic() - self._saved >= SAVE_SECONDS
        if jax.process_count() > 1:  # clocks differ, and a save waits for all processes: the first decides
            due = bool(multihost_utils.broadcast_one_to_all(due))
        return due

    def save_if_best(self, state: TrainState, sums: Any) -> None:
        """Keeps the state when the last record is the best so far."""
        if self.monitor is None or not is_measured(self.monitor, self.history):
            return
        if improvements(self.history, self.monitor, self.mode)[-1] == len(self.history) - 1:
            if self._bests is not None:
                self._bests.save(int(state.step), {"state": state, "sums": sums}, self._meta())
            else:
                self.best = jax.tree.map(jax.numpy.copy, state)  # the next step takes the buffers over

    def restore_best(self, state: TrainState, sums: Any) -> TrainState:
        """Returns the best state seen, averages included, but with the step of `state`."""
        best = self.best
        if self._bests is not None and (found := self._bests.restore({"state": state, "sums": sums})):
            best = found[0]["state"]
        if best is None:
            return state
        return dataclasses.replace(best, step=state.step)

    def _meta(self, seconds: float = 0.0) -> Mapping[str, Any]:
        assert self.workdir is not None
        config = read_config(self.workdir) if (self.workdir / "config.json").exists() else {}
        noted = {"epochs": self.history[-1]["epoch"] if self.history else 0, "config": config}
        if self._evaluated:
            noted["evaluated"] = self._evaluated
        return {**noted, "seconds": seconds} if seconds else noted
