"""A run's folder: what was asked (config.json) and what was measured (metrics.jsonl)."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError, reason
from jaxnets.files import PART, complete, writing
from jaxnets.machine.distributed import check_alike, run_on_writer

MAY_CHANGE = ("epochs", "versions", "ink_span")  # what may differ when a run is continued
MAY_DIFFER = ("data_dir", "start", "versions")  # and from one host to another
CHECKPOINTS = "checkpoints"
BEST = "best"


def write_config(workdir: Path, config: Mapping[str, Any]) -> None:
    """Creates a run's folder with its configuration; an existing folder must belong to the same run.

    With several processes one does it, and all must have been given the same configuration.

    Args:
        workdir: The run's folder.
        config: The configuration, JSON-serializable; only the keys in `MAY_CHANGE` may differ from what the
            folder holds.

    Raises:
        UserError: If the folder belongs to another run (it is left unchanged) or is not a run's folder, or if
            another process was given another configuration.
    """
    asked = json.loads(json.dumps(config))
    check_alike("settings", json.dumps([asked[key] for key in sorted(asked.keys() - set(MAY_DIFFER))]))
    run_on_writer(lambda: _write_config(workdir, asked))


def _write_config(workdir: Path, config: Mapping[str, Any]) -> None:
    if (workdir / "config.json").exists():
        held = read_config(workdir)
        for key in sorted(held.keys() | config.keys()):
            if key not in MAY_CHANGE and held.get(key) != config.get(key):
                raise UserError(
                    f"{workdir} holds a run with {key} {held.get(key)!r}, not {config.get(key)!r}: "
                    "give another --workdir, or the same settings to continue it"
                )
    elif workdir.exists() and (not workdir.is_dir() or _others(workdir)):
        raise UserError(f"{workdir} exists and is not the folder of a run: give another --workdir")
    with locked(workdir), complete(workdir / "config.json") as part:
        part.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _others(workdir: Path) -> list[Path]:
    """Returns the files that a run which ended before it wrote its configuration cannot have left."""
    return [path for path in workdir.iterdir() if path.name != "lock" and path.suffix != PART]


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Locks the folder for this process; the system releases it when the process ends, however it ends.

    On a file system without locks the folder is not locked, and a warning says so.

    Raises:
        UserError: If another process is training there.
    """
    path = workdir / "lock"
    with writing(path):
        workdir.mkdir(parents=True, exist_ok=True)
        lock = path.open("ab")
    with lock as file:
        try:
            from filelock import lock_descriptor

            free = lock_descriptor(file.fileno(), blocking=False)
        except (ImportError, OSError) as error:  # some network file systems have none
            free = True
            _warn(f"{workdir} is not locked against a second training there ({reason(error)})")
        if not free:
            raise UserError(
                f"another process is training in {workdir}: wait for it, stop it, or give another --workdir"
            )
        yield


@cache
def _warn(message: str) -> None:
    """Prints a warning once: a run locks its folder several times."""
    print(message, file=sys.stderr)


def read_config(workdir: Path) -> dict[str, Any]:
    """Returns the contents of the config.json in a run's folder.

    Raises:
        UserError: If there is none, or it cannot be read.
    """
    path = workdir / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{workdir} is not the folder of a run: it has no config.json; train one first"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as JSON ({error}): restore it, or train again elsewhere"
        ) from error


class MetricsLog:
    """The file metrics.jsonl, one line per epoch.

    Args:
        path: The file; lines of epochs after `epoch` are dropped, since those epochs will be run again.
        epoch: Number of epochs done by the state from which training continues.
        write: Whether to write to the file; False in all processes of a run but one.
    """

    def __init__(self, path: Path, epoch: int, write: bool = True):
        self.path = path
        self.records = [record for record in read_metrics(path) if record["epoch"] <= epoch]
        if write:
            with complete(path) as part:
                part.write_text(
                    "".join(json.dumps(record) + "\n" for record in self.records), encoding="utf-8"
                )

    def append(self, record: dict[str, Any]) -> None:
        """Appends one line and flushes it to disk."""
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the records in metrics.jsonl, [] without the file, ignoring a last line that a kill cut off."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except ValueError as error:
        raise UserError(f"{path} cannot be read as JSON lines ({error}): restore or remove it") from error
