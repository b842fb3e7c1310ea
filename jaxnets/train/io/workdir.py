"""A run's folder: what was asked (config.json) and what was measured (metrics.jsonl)."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError, reason
from jaxnets.files import PART, complete, read_json, set_aside, writing
from jaxnets.machine.distributed import check_alike, run_on_writer
from jaxnets.train.io.origin import RECORDED, origin

MAY_CHANGE = (  # what may differ when a run is continued
    "epochs",
    "early_stopping",
    "ink_span",
    "ink_centre",
    "data_dir",
    *RECORDED,
)
MAY_DIFFER = ("data_dir", "start")  # and from one host to another
CHECKPOINTS = "checkpoints"
BEST = "best"
METRICS = "metrics.jsonl"


def write_config(workdir: Path | str, config: Mapping[str, Any]) -> None:
    """Creates a run's folder with its configuration; an existing folder must belong to the same run.

    With several processes one does it, and all must have been given the same configuration. It also notes
    versions, device, command and date; see `jaxnets.train.io.origin`.

    Args:
        workdir: The run's folder.
        config: The configuration, JSON-serializable; only the keys in `MAY_CHANGE` may differ from what the
            folder holds.

    Raises:
        UserError: If the folder belongs to another run (it is left unchanged) or is not a run's folder, or if
            another process was given another configuration.
    """
    asked = json.loads(json.dumps(config))
    check_alike("settings", json.dumps([asked[key] for key in sorted(asked.keys() - {*MAY_DIFFER})]))
    run_on_writer(lambda: _write_config(Path(workdir), asked))


def _write_config(workdir: Path, config: dict[str, Any]) -> None:
    _held_by_same(workdir, config)
    with locked(workdir):
        noted = origin(_held_by_same(workdir, config))  # again: another run may just have begun there
        more = {key: value for key, value in noted.items() if key not in config}
        with complete(workdir / "config.json") as part:
            part.write_text(json.dumps(config | more, indent=2) + "\n", encoding="utf-8")


def _held_by_same(workdir: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the contents of config.json, {} if there is none; raises UserError if it is another run's."""
    if not (workdir / "config.json").exists():
        if is_free(workdir):
            return {}
        raise UserError(f"{workdir} exists and is not the folder of a run: give another --workdir")
    held = read_config(workdir)
    if changed := differences(held, config):
        raise UserError(
            f"{workdir} holds a run with {in_words(changed[0], held, config)}: "
            "give another --workdir, or the same settings to continue it"
        )
    return held


def differences(held: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Returns the settings in which a run differs from what is asked for, beyond what may change."""
    keys = (held.keys() | config.keys()) - {*MAY_CHANGE}
    if "fingerprint" not in held:  # earlier versions did not note it
        keys -= {"fingerprint"}
    return [key for key in sorted(keys) if _but_ink(held.get(key)) != _but_ink(config.get(key))]


def in_words(key: str, held: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Returns what a run has under a setting in which it differs from what is asked for."""
    if key == "fingerprint":
        return f"other examples of {config.get('dataset')!r} than there are now"
    return f"{key} {held.get(key)!r}, not {config.get(key)!r}"


def is_free(workdir: Path) -> bool:
    """Returns whether a folder is not there yet, or holds only what a run that did not begin has left."""
    return not workdir.exists() or (workdir.is_dir() and not _others(workdir))


def _but_ink(value: Any) -> Any:
    """Returns a setting without the ink of the training images, which is measured and not asked for."""
    return {key: one for key, one in value.items() if key != "ink"} if isinstance(value, dict) else value


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


def read_config(workdir: Path | str) -> dict[str, Any]:
    """Returns the contents of the config.json in a run's folder.

    Raises:
        UserError: If there is none, or it cannot be read.
    """
    path = Path(workdir) / "config.json"
    try:
        config = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{workdir} is not the folder of a run: it has no config.json; train one first"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): restore it, or train elsewhere"
        ) from error
    if not isinstance(config, dict):
        raise UserError(f"{path} does not hold settings by name: restore it, or train again elsewhere")
    return config


def check_config(workdir: Path, config: Mapping[str, Any], saved: Any) -> None:
    """Checks that a run's config.json says what it said when the run's checkpoint was saved.

    Args:
        workdir: The run's folder.
        config: The contents of config.json.
        saved: Those that are noted in the checkpoint; None if there are none.

    Raises:
        UserError: If they differ in more than what may change.
    """
    for key in sorted((saved or {}).keys() & config.keys() - {*MAY_CHANGE, *MAY_DIFFER}):
        if saved[key] != config[key]:
            raise UserError(
                f"{workdir / 'config.json'} says {key} {config[key]!r}, and the checkpoint beside it "
                f"{saved[key]!r}: one of them was changed; restore config.json"
            )


def read_metrics(path: Path | str) -> list[dict[str, Any]]:
    """Returns the records in metrics.jsonl, [] without the file, ignoring a last line that a kill cut off.

    Raises:
        UserError: If it cannot be read.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith(b"\n")]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read as JSON lines ({reason(error)}): restore or remove it"
        ) from error
    return check_records(found, path)


def check_records(found: Any, where: Path) -> list[dict[str, Any]]:
    """Returns what was read as a run's records, or raises UserError if it is something else."""
    if not isinstance(found, list):
        raise UserError(f"the records in {where} are no list: restore or remove it")
    for number, record in enumerate(found, start=1):
        if not isinstance(record, dict) or not isinstance(record.get("epoch"), int):
            raise UserError(f"record {number} in {where} names no epoch: restore or remove it")
    return found


def write_metrics(path: Path, records: Sequence[Mapping[str, Any]], *, known: bool) -> None:
    """Makes metrics.jsonl hold these records; later lines are dropped, since their epochs will run again.

    Args:
        path: The file.
        records: The records of the epochs done.
        known: Whether they come from elsewhere than this file, which then is set aside if it says otherwise.
    """
    text = "".join(map(_line, records)).encode()
    try:
        held = path.read_bytes()
    except OSError:  # none, or a folder
        held = b""
    if known and not held.startswith(text):
        kept = ""
        if path.exists():
            kept = f"; what it held is in {set_aside(path, path.with_name('metrics-damaged.jsonl'))}"
        print(f"{path} was not what the checkpoint says: written again from there{kept}", file=sys.stderr)
    with complete(path) as part:
        part.write_bytes(text)


def append_metrics(path: Path, record: Mapping[str, Any]) -> None:
    """Appends one line to metrics.jsonl and flushes it to disk."""
    with writing(path), path.open("ab") as file:
        file.write(_line(record).encode())
        file.flush()
        os.fsync(file.fileno())


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"
