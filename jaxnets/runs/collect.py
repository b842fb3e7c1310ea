"""The runs in a folder: what each was asked for and has measured, and in what they differ."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError
from jaxnets.train import EarlyStopping, improvements, read_config, read_metrics
from jaxnets.train.io.workdir import MAY_CHANGE, METRICS
from jaxnets.train.monitor import sign_of

CONFIG = "config.json"
UNTOLD = (*MAY_CHANGE, "input", "classes", "fingerprint")  # follows from the data set, or is told otherwise


@dataclass(frozen=True)
class Listed:
    """A run as its folder shows it, without its checkpoints.

    Attributes:
        folder: The run's folder.
        config: The contents of its config.json.
        history: Its records, one per epoch.
    """

    folder: Path
    config: dict[str, Any]
    history: list[dict[str, Any]]

    @property
    def epochs(self) -> int:
        """The number of epochs done."""
        return self.history[-1]["epoch"] if self.history else 0

    @property
    def asked(self) -> int | None:
        """The number of epochs asked for; None if config.json does not say, as after `import-keras`."""
        asked = self.config.get("epochs")
        return asked if isinstance(asked, int) else None

    @property
    def finished(self) -> bool | None:
        """Whether all epochs are done, or early stopping has ended the run; None if nothing says so."""
        patience, monitor = self.config.get("early_stopping"), self.config.get("best") or "val_loss"
        stopping = EarlyStopping(monitor, patience) if isinstance(patience, int) else None
        if stopping and monitor in self.last and stopping.should_stop(self.history):
            return True
        if self.asked is None:
            return True if "imported" in self.config else None
        return self.epochs >= self.asked

    @cached_property
    def date(self) -> str:
        """When the run began, ISO 8601 in UTC; of earlier versions, when its config.json was written."""
        noted = self.config.get("date")
        if isinstance(noted, str):
            return noted
        written = (self.folder / CONFIG).stat().st_mtime
        return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")

    @cached_property
    def last(self) -> dict[str, float]:
        """The newest value of everything that was measured and can be better or worse."""
        return {
            name: value for record in self.history for name, value in record.items() if _can_be_better(name)
        }

    @cached_property
    def best(self) -> dict[str, tuple[float, int]]:
        """The best value of everything in `last`, and its epoch."""
        records = [self.history[improvements(self.history, name)[-1]] for name in self.last]
        return {name: (one[name], one["epoch"]) for name, one in zip(self.last, records, strict=True)}

    @property
    def settings(self) -> dict[str, Any]:
        """What config.json says of the network, the data set and the training; None is left out."""
        told = {key: value for key, value in self.config.items() if key not in UNTOLD and value is not None}
        inputs = self.config.get("input")
        prepare = inputs.get("prepare") if isinstance(inputs, dict) else None
        return told | ({"inputs": prepare} if prepare else {})


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        runs: The runs, by their folders' names.
        broken: What is wrong with runs that cannot be read, a sentence each.
        others: Folders without a run in them.
    """

    runs: list[Listed] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def collect(folder: Path | str) -> Found:
    """Returns what a folder holds: itself, if it is a run's, or the runs in it and in folders within.

    Folders of runs are not searched for others, nor are hidden folders and links to folders of other kinds.

    Raises:
        UserError: If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; name one that holds runs")
    found = Found()
    if (folder / CONFIG).exists() or (folder / METRICS).exists():
        try:
            found.runs.append(_read(folder))
        except UserError as error:
            found.broken.append(str(error))
        return found
    try:
        within = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        found.broken.append(f"{folder} cannot be read ({error.strerror})")
        return found
    for path in sorted(within, key=_natural):
        leads_on = path.is_symlink() and not (path / CONFIG).exists()  # perhaps in a circle
        inner = Found() if leads_on else collect(path)
        found.runs += inner.runs
        found.broken += inner.broken
        found.others += inner.others if inner.runs or inner.broken else [path]
    return found


def _natural(path: Path) -> list[str]:
    """Returns a key by which run-2 comes before run-10."""
    return [part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _read(folder: Path) -> Listed:
    config, history = read_config(folder), read_metrics(folder / METRICS)
    versions = config.get("versions")
    if not (folder / METRICS).exists() and not (isinstance(versions, dict) and "jaxnets" in versions):
        raise UserError(f"{folder / CONFIG} is not of a run of jaxnets")
    for record in history:
        for name, value in record.items():
            if _can_be_better(name) and not isinstance(value, int | float):
                raise UserError(f"{folder / METRICS}: the {name} of epoch {record['epoch']} is no number")
    return Listed(folder, config, history)


def _can_be_better(name: str) -> bool:
    try:
        return bool(sign_of(name))
    except UserError:  # epoch, step, seconds, ...
        return False


def differences(runs: Sequence[Listed]) -> list[dict[str, Any]]:
    """Returns, for each of several runs, those settings that not all have alike; None where one has none."""
    settings = [run.settings | _examples(run, runs) for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    differing = [key for key in keys if len({_comparable(one.get(key)) for one in settings}) > 1]
    return [{key: one.get(key) for key in differing} for one in settings]


def _examples(run: Listed, runs: Sequence[Listed]) -> dict[str, Any]:
    """Returns the fingerprint of a run's examples, if a run on a data set of the same name saw others."""
    same = [other.config for other in runs if other.config.get("dataset") == run.config.get("dataset")]
    prints = {str(config.get("fingerprint")) for config in same}
    return {"examples": str(run.config.get("fingerprint"))[:8]} if len(prints) > 1 else {}


def _comparable(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def in_words(settings: Mapping[str, Any]) -> str:
    """Returns settings as a short text, without those that are None or false.

    Examples:
        >>> in_words({"optimizer": "adam", "learning_rate": 0.01, "augment": ["rotation=45", "shift=0.1"]})
        'optimizer adam, learning_rate 0.01, augment rotation=45 shift=0.1'
    """
    words = []
    for key, value in settings.items():
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f"{key} {in_a_word(value)}")
    return ", ".join(words)


def in_a_word(value: Any) -> str:
    """Returns a setting's value as a short text: numbers to six digits, lists without brackets."""
    if isinstance(value, list):
        return " ".join(map(in_a_word, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
