"""The TFDS data sets prepared on this machine, and their conversion from tfrecord to array_record."""

import importlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import hints
from jaxnets.data.formats.tfrecord import read_tfrecord
from jaxnets.errors import UserError, reason
from jaxnets.files import complete, read_json

FORMAT = "array_record"  # the only TFDS format with random access without TensorFlow
INFO = "dataset_info.json"
NAME = r"\w[\w.+-]*(/\w[\w.+-]*)*(:[\w.*]+)?"  # NAME, NAME/CONFIG, NAME:VERSION or both


def import_tfds(what: str) -> Any:
    """Returns the module tensorflow_datasets, if everything it reads and writes with is installed.

    Raises:
        UserError: If something is not installed; the message says that `what` needs it.
    """
    try:
        importlib.import_module("array_record.python.array_record_module")
        return importlib.import_module("tensorflow_datasets")
    except ImportError as error:
        needed = hints.install("tensorflow-datasets", "array_record")
        raise UserError(f"{what} needs TFDS and array_record ({reason(error)}): {needed}") from error


@dataclass(frozen=True)
class Prepared:
    """A prepared data set.

    Attributes:
        name: Name, with the configuration if there is one ("mnist", "horses/large").
        version: Version, such as "3.0.1".
        folder: Folder of its files.
        formats: Formats of the files.
        splits: Number of examples in every split.
    """

    name: str
    version: str
    folder: Path
    formats: tuple[str, ...]
    splits: dict[str, int]


def check_name(name: str) -> None:
    """Raises UserError if a data set cannot have this name: it would lead out of the folder of data sets."""
    if not re.fullmatch(NAME, name):
        raise UserError(f"no data set can be called {name!r}: give a NAME, NAME/CONFIG or NAME:VERSION")


def data_root(data_dir: str | os.PathLike | None = None) -> Path:
    """Returns the folder of prepared data sets: `data_dir`, else $TFDS_DATA_DIR, else TFDS's default.

    Raises:
        UserError: If something else is there, or its name is impossible.
    """
    named = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    try:
        root = Path(named).expanduser()
        usable = stat.S_ISDIR(root.stat().st_mode)
    except FileNotFoundError:
        return root  # it can be created
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or reason(error)
        raise UserError(f"the data folder {named} cannot be used ({why}): choose another") from error
    if not usable:
        raise UserError(f"the data folder {named} is a file: choose a folder")
    return root


def list_prepared(root: Path) -> list[Prepared]:
    """Returns the complete prepared data sets under a folder, by name and version."""
    files = [file for depth in ("*/*", "*/*/*") for file in root.glob(f"{depth}/{INFO}")]
    found = [read_info(file.parent) for file in files if "incomplete" not in file.parent.name]
    return sorted((item for item in found if item), key=lambda item: (item.name, _order(item.version)))


def read_info(folder: Path) -> Prepared | None:
    """Returns the data set that a folder's dataset_info.json describes; None if it cannot be read."""
    try:
        info = read_json(folder / INFO)
        splits = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
        name = "/".join(filter(None, (info["name"], info.get("configName"))))
        formats = (info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", ()))
        return Prepared(name, info["version"], folder, formats, splits)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find_prepared(root: Path, name: str) -> Path | None:
    """Returns the folder of a prepared data set, of its highest version unless the name includes one.

    Args:
        root: Folder of prepared data sets.
        name: Name such as "mnist", "mnist:3.0.1" or "horses/large".

    Raises:
        UserError: If it is there, but not as array_record; the message says how to get that.
    """
    base, _, version = name.partition(":")
    found = [item for item in list_prepared(root) if item.name == base and version in ("", item.version)]
    if not found:
        return None
    readable = [item for item in found if FORMAT in item.formats]
    if not readable:
        check_convertible(found[-1])
        raise UserError(
            f"{name} is prepared as tfrecord, which cannot be read by random access: run "
            f"{hints.jaxnets('data', 'convert', name, '--data-dir', root)}"
        )
    return readable[-1].folder


def check_convertible(item: Prepared) -> None:
    """Checks that a data set is prepared as tfrecord; anything else has to be prepared again.

    Raises:
        UserError: If it is not.
    """
    if "tfrecord" not in item.formats:
        raise UserError(
            f"{item.folder} holds {' and '.join(item.formats)}, and neither {FORMAT} nor tfrecord: prepare "
            f"it again in that format (tfds build {item.name} --file_format {FORMAT} --overwrite)"
        )


def convert(root: Path, name: str) -> Path:
    """Adds array_record files beside the tfrecord files of a prepared data set; needs no TensorFlow.

    The files count only when all are there: an interrupted conversion leaves the data set as it was.

    Returns:
        The data set's folder.

    Raises:
        UserError: If there is no such data set, or one of its files is damaged.
    """
    check_name(name)
    base, _, version = name.partition(":")
    found = [item for item in list_prepared(root) if item.name == base and version in ("", item.version)]
    if not found:
        raise UserError(f"no data set {name} is prepared in {root}")
    item = found[-1]
    if FORMAT in item.formats:
        return item.folder
    check_convertible(item)
    import_tfds(f"the data set {name!r}")
    from array_record.python.array_record_module import ArrayRecordWriter

    count = 0
    for file in sorted(item.folder.glob("*.tfrecord*")):
        written = file.with_name(file.name.replace(".tfrecord", f".{FORMAT}"))
        with complete(written) as partial:
            writer = ArrayRecordWriter(str(partial), "group_size:1")  # as TFDS writes it
            for record in read_tfrecord(file):
                writer.write(record)
                count += 1
            writer.close()
    if count != sum(item.splits.values()):
        raise UserError(
            f"{item.folder} holds {count:,} examples, not the {sum(item.splits.values()):,} that its {INFO} "
            "states: files are missing"
        )
    info = json.loads((item.folder / INFO).read_text(encoding="utf-8"))
    info["alternativeFileFormats"] = [*info.get("alternativeFileFormats", ()), FORMAT]
    with complete(item.folder / INFO) as partial:
        partial.write_text(json.dumps(info, indent=2), encoding="utf-8")
    return item.folder


def _order(version: str) -> list[int]:
    return [int(part) if part.isdecimal() else -1 for part in version.split(".")]
