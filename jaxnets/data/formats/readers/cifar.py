"""CIFAR-10 and CIFAR-100 as Krizhevsky publishes them (cs.toronto.edu/~kriz/cifar.html), binary or Python."""

import io
import pickle
import pickletools
import posixpath
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.contents import Contents, Problems, from_arrays
from jaxnets.errors import UserError, reason

PIXELS = 3 * 32 * 32
FILES = re.compile(r"(data_batch_\d|test_batch)(\.bin)?|(train|test)\.bin")
FILES_100 = re.compile(r"train|test")  # of the Python version, beside a file meta
CIFAR_10 = {"test_batch", *(f"data_batch_{number}" for number in range(1, 6))}
CIFAR_100 = {"train", "test"}
NAMES = ("batches.meta.txt", "fine_label_names.txt", "batches.meta", "meta")
# The functions that pickles of NumPy arrays call, under NumPy's old and new names; no others are ever called.
ALLOWED = {
    (module, name)
    for package in ("numpy.core", "numpy._core")
    for module, name in ((f"{package}.multiarray", "_reconstruct"), (f"{package}.numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


def parse_binary(content: bytes, where: str, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (images, labels) of a binary batch: records of labels and 3,072 pixels, the planes R, G, B.

    Args:
        content: Content of the file.
        where: Name of the file, for messages.
        label_bytes: 1 for CIFAR-10; 2 for CIFAR-100, coarse and fine, of which the last is used.

    Returns:
        The images, uint8 (N, 32, 32, 3), and the labels, int64 (N,).

    Raises:
        UserError: If the file is not a whole number of records.
    """
    record = label_bytes + PIXELS
    if not content or len(content) % record:
        raise UserError(
            f"{where} holds {len(content):,} bytes, which is not a whole number of records of {record:,}: "
            "it is cut off, or not a CIFAR batch"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return _images(rows[:, label_bytes:]), rows[:, label_bytes - 1].astype(np.int64)


def parse_python(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (images, labels) of a pickled batch; the pickle can build NumPy arrays and nothing else.

    Raises:
        UserError: If the file is not such a pickle, or its pixels and labels do not match.
    """
    batch = parse_pickle(content, where)
    pixels: Any = batch.get(b"data")
    labels: Any = batch.get(b"fine_labels", batch.get(b"labels"))
    try:
        # Lists in lists, and arrays without contents, can be far larger than the file.
        flat = isinstance(labels, np.ndarray) or all(isinstance(label, int) for label in labels)
        labels = np.asarray(labels if flat and max(len(labels), pixels.nbytes) <= len(content) else None)
        right = (
            pixels.dtype == np.uint8 and pixels.shape == (len(labels), PIXELS) and labels.dtype.kind in "iu"
        )
    except (AttributeError, TypeError, ValueError):
        right = False
    if not right or not len(labels):
        raise UserError(
            f"{where} does not hold uint8 data of (N, {PIXELS}) and N labels: it is not a CIFAR batch"
        )
    return _images(pixels), labels.astype(np.int64)


def parse_pickle(content: bytes, where: str) -> dict[bytes, Any]:
    """Returns the dictionary in a pickle of plain values and NumPy arrays.

    Raises:
        UserError: If the file is damaged, holds something else, or would call any other function.
    """
    try:
        for code, argument, _ in pickletools.genops(content):
            if code.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(content):
                raise pickle.UnpicklingError(f"it wants {argument} places for its objects")
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise almost anything
        raise UserError(
            f"{where} cannot be read as a CIFAR batch ({reason(error)}): download it again"
        ) from error
    if not isinstance(batch, dict):
        raise UserError(f"{where} holds a {type(batch).__name__}, not the dictionary of a CIFAR batch")
    return batch


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _images(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def cifar_batches(
    archive: Archive, problems: Problems, classes: Sequence[str] | None, first_label: int | None
) -> Contents | None:
    """Returns the contents of the binary or Python version of CIFAR-10 or CIFAR-100; None if it is not there.

    Raises:
        UserError: If a batch is damaged, missing or there twice.
    """
    bases = {name: posixpath.basename(name) for name in archive.names}
    files = FILES_100 if "meta" in bases.values() else FILES
    names = [name for name, base in bases.items() if files.fullmatch(base)]
    if not names:
        return None
    found: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}
    for name, content in archive.read(names):
        base, where = bases[name], archive.where(name)
        part = base.removesuffix(".bin")
        if part in found:
            raise UserError(f"{where} and {found[part][0]} are both {part}: keep one")
        if base.endswith(".bin"):
            found[part] = where, *parse_binary(content, where, label_bytes=1 if "batch" in base else 2)
        else:
            found[part] = where, *parse_python(content, where)
    whole = CIFAR_10 if any("batch" in part for part in found) else CIFAR_100
    if strange := sorted(found.keys() - whole):
        raise UserError(
            f"{archive.path} holds {strange[0]} beside batches of another CIFAR: keep one of the two"
        )
    missing = sorted(whole - found.keys())
    if missing and found.keys() - {"test_batch", "test"}:
        problems(f"{archive.path} lacks {', '.join(missing)} of CIFAR: download it again")
    arrays = {}
    for split in ("train", "test"):
        batches = [found[part] for part in sorted(found) if part.startswith("test") == (split == "test")]
        if batches:
            images, labels = (np.concatenate([batch[place] for batch in batches]) for place in (1, 2))
            arrays[split] = images, labels, f"{archive.path} ({split})"
    used = [name for name, base in bases.items() if name in names or base in NAMES]
    return from_arrays(arrays, used, problems, classes or _class_names(archive), first_label)


def _class_names(archive: Archive) -> list[str] | None:
    for name, content in archive.read([name for name in archive.names if posixpath.basename(name) in NAMES]):
        if name.endswith(".txt"):
            return content.decode("utf-8", "replace").split()
        meta = parse_pickle(content, archive.where(name))
        names = meta.get(b"fine_label_names", meta.get(b"label_names"))
        if isinstance(names, list) and all(isinstance(label, bytes) for label in names):
            return [label.decode("utf-8", "replace") for label in names]
    return None
