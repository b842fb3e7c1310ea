"""Records for other programs to show: a CSV file, Weights & Biases, trackio."""

import csv
import importlib
from pathlib import Path
from typing import Any, ClassVar

from jaxnets import hints
from jaxnets.errors import UserError
from jaxnets.files import complete
from jaxnets.machine.distributed import is_writer
from jaxnets.train.callback import Callback
from jaxnets.train.monitor import History
from jaxnets.train.state import TrainState


class CSVLogger(Callback):
    """Writes all records to a CSV file, anew after every epoch, so that it is complete at any moment.

    Args:
        path: Path of the file; a resumed run writes its earlier epochs, too.

    Examples:
        >>> log = CSVLogger("log.csv")
        >>> log.on_epoch_end(None, [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_loss": 0.5}])
        >>> print(Path("log.csv").read_text())
        epoch,loss,val_loss
        1,0.5,
        2,0.25,0.5
        <BLANKLINE>
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)

    def on_epoch_end(self, state: TrainState, history: History) -> None:
        """Writes the file."""
        if not is_writer():
            return
        names = dict.fromkeys(name for record in history for name in record)
        with complete(self.path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(history)


class Tracker(Callback):
    """Sends the record of every epoch to a run that a package's `init` opens, under the epoch's number.

    One of several processes does it. The run ends with the training; after an interruption it stays open for
    another `fit` with the same callback, and a new process opens a new one, unless the options name the old.

    Args:
        options: Arguments of the package's `init`, such as project, name and config.

    Raises:
        UserError: If the package is not installed.
    """

    package: ClassVar[str]

    def __init__(self, **options: Any):
        try:
            self._package = importlib.import_module(self.package)
        except ImportError as error:
            needed = hints.install(self.package)
            raise UserError(f"{type(self).__name__} needs {self.package}: {needed}") from error
        self.options = options
        self._run: Any = None

    def on_epoch_begin(self, state: TrainState, history: History) -> None:
        """Opens the run before the first epoch; a training with no epoch to do opens none."""
        if self._run is None and is_writer():
            self._run = self._package.init(**self.options)

    def on_epoch_end(self, state: TrainState, history: History) -> None:
        """Sends the epoch's record."""
        if self._run is not None:
            record = {key: value for key, value in history[-1].items() if key not in ("epoch", "step")}
            self._run.log(record, step=history[-1]["epoch"])

    def on_train_end(self, state: TrainState, history: History) -> None:
        """Ends the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


class WandB(Tracker):
    """Shows a training at Weights & Biases: `WandB(project="digits", config={...})`; see `wandb.init`.

    To go on with a run in another process, give `id="..."` and `resume="allow"`.
    """

    package = "wandb"


class Trackio(Tracker):
    """Shows a training in trackio, on this machine or in a Space of the Hub; see `trackio.init`.

    To go on with a run in another process, give its `name` and `resume="allow"`.
    """

    package = "trackio"
