"""One line per epoch, and below the lines a progress bar in a terminal or notebook."""

import importlib.util
import shutil
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from jaxnets.machine.distributed import is_writer
from jaxnets.train.sums import means

SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")
REFRESH = 0.2  # seconds between two looks at the running sums: each look waits for the device


class Every:
    """A timer that is due whenever a number of seconds has passed since it last was."""

    def __init__(self, seconds: float):
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        passed = now - self._last >= self._seconds
        self._last = now if passed else self._last
        return passed


class Progress(AbstractContextManager):
    """What `fit` prints while it runs: one line per epoch, for pipes and logs, even if nobody reads them.

    Args:
        epochs: Number of epochs of the whole run.
    """

    def __init__(self, epochs: int):
        self.epochs = epochs

    def __exit__(self, *_: Any) -> None:
        """Called when the run is over."""

    def update(self, epoch: int, examples: int, sums: Mapping[str, Any]) -> None:
        """Called after a batch, with the sums of the epoch so far, still on the device."""

    def end_epoch(self, record: Mapping[str, Any]) -> None:
        """Called after an epoch, with its record."""
        with suppress(OSError):  # of a pipe, say, whose reader has gone: the training goes on
            rate = record["examples_per_second"]
            print(
                f"{self._line(record['epoch'], record)}  {rate:,.0f} examples/s", file=sys.stderr, flush=True
            )

    def _line(self, epoch: int, values: Mapping[str, float]) -> str:
        """Returns epoch, losses and accuracies, in at most 79 characters for 99 epochs."""
        shown = [f"{name} {values[name]:.4f}" for name in SHOWN if name in values]
        return "  ".join([f"epoch {epoch}/{self.epochs}", *shown])


class Bar(Progress):
    """Lines, and a tqdm bar over all examples of all epochs with loss, accuracy and examples per second."""

    def __init__(self, epochs: int, done: int, size: int):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets the bar is of characters
            from tqdm.auto import tqdm

        super().__init__(epochs)
        self._look = Every(REFRESH)
        place: dict[str, Any] = {"file": sys.stdout, "dynamic_ncols": True}  # a notebook's
        if sys.stderr.isatty():
            columns, lines = shutil.get_terminal_size()  # tqdm draws nothing on a terminal of unknown size
            place = {"file": sys.stderr, "ncols": columns, "nrows": lines}
        self._file = place["file"]
        self._bar = tqdm(
            total=epochs * size,
            initial=done * size,
            unit=" examples",
            unit_scale=True,
            leave=False,
            bar_format="{desc} {bar} {rate_fmt}, {remaining} left",
            **place,
        )

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            self._bar.total = self._bar.n  # a run that its own rule ended has not failed
        self._bar.close()

    def update(self, epoch: int, examples: int, sums: Mapping[str, Any]) -> None:
        self._bar.update(examples)
        if self._look.due():
            self._show(epoch, means(sums))

    def end_epoch(self, record: Mapping[str, Any]) -> None:
        with suppress(OSError):
            self._bar.write(self._line(record["epoch"], record), file=self._file)

    def _show(self, epoch: int, values: Mapping[str, float]) -> None:
        self._bar.set_description_str(self._line(epoch, values))


class Silent(Progress):
    """Prints nothing, in all processes of a run but one."""

    def end_epoch(self, record: Mapping[str, Any]) -> None:
        pass


def say_finished(workdir: Path, done: int, epochs: int) -> None:
    """Tells why a finished run that is started again has nothing to do, and how to continue.

    Args:
        workdir: The run's folder.
        done: Number of epochs that it has done.
        epochs: Number of epochs asked for; if it is greater, the run ended by its own rule.
    """
    if done >= epochs:
        how = f"all its {done} epochs are done. To go on ask for more of them (--epochs); to start anew,"
    else:
        how = f"its own rule ended it after {done} of {epochs} epochs. To start anew,"
    if is_writer():
        print(f"{workdir} is finished: {how} give another folder (--workdir)", file=sys.stderr)


def make_progress(epochs: int, done: int, size: int, *, quiet: bool = False) -> Progress:
    """Returns lines with a bar in a terminal or notebook where tqdm is installed, else lines alone.

    Args:
        epochs: Number of epochs of the whole run.
        done: Number of epochs already done.
        size: Number of examples in an epoch.
        quiet: Show nothing.
    """
    if quiet or not is_writer():
        return Silent(epochs)
    watched = sys.stderr.isatty() or "ipykernel.zmqshell" in sys.modules  # as tqdm tells a notebook
    if watched and importlib.util.find_spec("tqdm"):
        return Bar(epochs, done, size)
    return Progress(epochs)
