"""The TFDS data sets that lie prepared on this machine, and from tfrecord to array_record."""

import importlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import hints
from jaxnets.errors import UserError, reason
from jaxnets.files import complete

FORMAT = "array_record"  # the one of TFDS's formats that is read by random access without TensorFlow
INFO = "dataset_info.json"


def import_tfds(what: str) -> Any:
    """Returns TFDS, once all is there that it reads and writes with.

    Raises:
        UserError: something is not; the message says that `what` needs it.
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
        name: Name with its configuration if it has one ("mnist", "horses/large").
        version: "3.0.1".
        folder: Where its files lie.
        formats: Formats of the files.
        splits: The number of examples of each.
    """

    name: str
    version: str
    folder: Path
    formats: tuple[str, ...]
    splits: dict[str, int]


def data_root(data_dir: str | os.PathLike | None = None) -> Path:
    """Returns where prepared data sets lie: `data_dir`, else $TFDS_DATA_DIR, else TFDS's default."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def list_prepared(root: Path) -> list[Prepared]:
    """Returns the prepared data sets under a folder by name and version; what is not whole is none."""
    files = [file for depth in ("*/*", "*/*/*") for file in root.glob(f"{depth}/{INFO}")]
    found = [read_info(file.parent) for file in files if "incomplete" not in file.parent.name]
    return sorted((item for item in found if item), key=lambda item: (item.name, _order(item.version)))


def read_info(folder: Path) -> Prepared | None:
    """Returns what a folder's dataset_info.json says; None if it says nothing that can be understood."""
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        splits = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
        name = "/".join(filter(None, (info["name"], info.get("configName"))))
        formats = (info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", ()))
        return Prepared(name, info["version"], folder, formats, splits)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find_prepared(root: Path, name: str) -> Path | None:
    """Returns the folder of a prepared data set, of its highest version unless the name says which.

    Args:
        root: Where prepared data sets lie.
        name: "mnist", "mnist:3.0.1", "horses/large".

    Raises:
        UserError: it is there, but not as array_record; the message says how to convert it.
    """
    base, _, version = name.partition(":")
    found = [item for item in list_prepared(root) if item.name == base and version in ("", item.version)]
    if not found:
        return None
    readable = [item for item in found if FORMAT in item.formats]
    if not readable:
        raise UserError(
            f"{name} is prepared as {found[-1].formats[0]}, which cannot be read by random access: run "
            f"{hints.jaxnets('data', 'convert', name, '--data-dir', root)}"
        )
    return readable[-1].folder


def convert(root: Path, name: str) -> Path:
    """Adds array_record files beside the tfrecord files of a prepared data set; needs no TensorFlow.

    They count only when all are there: an interrupted conversion leaves what there was before.

    Returns:
        The data set's folder.

    Raises:
        UserError: there is no such data set, or one of its files is damaged.
    """
    base, _, version = name.partition(":")
    found = [item for item in list_prepared(root) if item.name == base and version in ("", item.version)]
    if not found:
        raise UserError(f"no data set {name} is prepared in {root}")
    item = found[-1]
    if FORMAT in item.formats:
        return item.folder
    if item.formats[0] != "tfrecord":
        raise UserError(f"{name} in {item.folder} is {item.formats[0]}: only tfrecord can be converted")
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
            "says: files are missing"
        )
    info = json.loads((item.folder / INFO).read_text(encoding="utf-8"))
    info["alternativeFileFormats"] = [*info.get("alternativeFileFormats", ()), FORMAT]
    with complete(item.folder / INFO) as partial:
        partial.write_text(json.dumps(info, indent=2), encoding="utf-8")
    return item.folder


def read_tfrecord(file: Path) -> Iterator[bytes]:
    """Yields the records of a tfrecord file: length, checksum of it, the bytes, checksum of them.

    Raises:
        UserError: the file is cut off, or a checksum of a length is wrong.
    """
    with file.open("rb") as stream:
        while header := stream.read(12):
            size, checksum = struct.unpack("<QI", header.ljust(12, b"\0"))
            if len(header) < 12 or checksum != masked_crc32c(header[:8]):
                raise UserError(
                    f"{file} is damaged before byte {stream.tell():,}: prepare the data set again"
                )
            record = stream.read(size + 4)
            if len(record) < size + 4:
                raise UserError(f"{file} is cut off: prepare the data set again")
            yield record[:-4]


def masked_crc32c(content: bytes) -> int:
    """Returns the checksum that tfrecord files carry, bit by bit: for the eight bytes of a length."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _order(version: str) -> list[int]:
    return [int(part) if part.isdecimal() else -1 for part in version.split(".")]
