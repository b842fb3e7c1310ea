"""An HDF5 file from anywhere as a tree of groups, whose arrays are read only when they are asked for.

HDF5 can name other files to read from (external storage, links, virtual data sets), declare arrays of any
size and link its groups in circles. Keras does nothing of this, and a file that does is refused before any
number in it is read.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np

from jaxnets import hints
from jaxnets.errors import UserError, reason
from jaxnets.keras_weights.soundness import Source, sound

Change = Callable[[np.ndarray], np.ndarray]

ATTRIBUTES = ("name", "keras_version", "backend", "model_config", "layer_names", "weight_names")
MOST_OBJECTS = 100_000  # the largest networks, with their optimizers, have some thousands
DEEPEST = 64
LARGEST_ATTRIBUTE = 1 << 16  # bytes, but for strings elsewhere; HDF5's own bound in most files
LARGEST_CHUNK = 1 << 24  # bytes that are unpacked at once; Keras stores arrays in one piece


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where a weight is stored in a file, and how values are brought into the layout that it has there."""

    name: str
    encode: Change = lambda values: values


@dataclasses.dataclass(frozen=True, eq=False)
class Array:
    """An array in a file; NumPy reads its values when it needs them."""

    shape: tuple[int, ...]
    dtype: np.dtype
    where: str
    """What to call it in messages."""
    read: Callable[[], np.ndarray]
    name: str
    """Its path in the file."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns the values."""
        values = self.read()
        return values if dtype is None else values.astype(dtype)


class Group(dict[str, Any]):
    """The groups and arrays in a group, by name.

    Attributes:
        name: Its path in the file.
        attrs: Those of its attributes that Keras reads.
    """

    def __init__(self, name: str, attrs: dict[str, Any] | None = None):
        super().__init__()
        self.name, self.attrs = name, attrs or {}

    def find(self, path: str) -> Any:
        """Returns what is at a path below this group; raises KeyError if there is nothing."""
        item: Any = self
        for part in filter(None, path.split("/")):
            if not isinstance(item, Group):
                raise KeyError(path)
            item = item[part]
        return item

    def merge(self, other: "Group") -> None:
        """Adds the contents of a group of another file, which must not have the same arrays."""
        self.attrs |= other.attrs
        for name, item in other.items():
            if name not in self:
                self[name] = item
            elif isinstance(self[name], Group) and isinstance(item, Group):
                self[name].merge(item)
            else:
                raise UserError(f"{item.where} is in another of its files, too")


def h5py() -> Any:
    """Returns the module h5py, needed only to read or write files."""
    try:
        import h5py
    except ImportError as error:
        needed = hints.install("h5py")
        raise UserError(f"Keras weight files are read and written with h5py: {needed}") from error
    return h5py


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns whatever h5py, zipfile and json raise on a damaged file into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # almost anything
        raise UserError(
            f"{where} is damaged or incomplete ({reason(error)}): copy or download it again"
        ) from error


def read_tree(source: Source, where: str) -> Group:
    """Returns the groups and arrays of a file, none of whose values is read yet.

    Args:
        source: The file, or its content.
        where: Its name, for messages.

    Raises:
        UserError: If it is damaged, or does what Keras's files never do.
    """
    with reading(where), h5py().File(source, "r") as file:
        if file.id.get_create_plist().get_sizes() != (8, 8) or not sound(source, ATTRIBUTES):
            raise OSError("its strings are damaged")
        root = Group("/")
        _Walk(source, where).fill(root, file)
        return root


class _Walk:
    """A walk through a file that meets every object once."""

    def __init__(self, source: Source, where: str):
        self.source, self.where = source, where
        self.seen: set[Any] = set()

    def fill(self, group: Group, stored: Any, depth: int = 0) -> None:
        if depth > DEEPEST:
            self.refuse(stored, f"lies more than {DEEPEST} groups deep")
        group.attrs |= self.attributes(stored)
        for key in stored:
            link = stored.get(key, getlink=True)
            if not key.isprintable():
                self.refuse(stored, f"has the name {key!r} in it")
            if not isinstance(link, h5py().HardLink):
                self.refuse(stored, f"has the {type(link).__name__} {key!r} to another place or file")
            item = stored[key]
            info = h5py().h5o.get_info(item.id)
            if (info.fileno, info.addr) in self.seen:
                self.refuse(item, "is linked from two places")
            self.seen.add((info.fileno, info.addr))
            if len(self.seen) > MOST_OBJECTS:
                self.refuse(stored, f"is in a file of more than {MOST_OBJECTS:,} groups and arrays")
            *outer, last = re.split(r"\\", key)  # early Keras on Windows wrote layers\dense as one name
            inside = group
            for name in outer:
                inside = inside.setdefault(name, Group(f"{inside.name.rstrip('/')}/{name}"))
            if isinstance(item, h5py().Dataset):
                inside[last] = self.array(item)
            elif isinstance(item, h5py().Group):
                self.fill(inside.setdefault(last, Group(item.name)), item, depth + 1)

    def attributes(self, stored: Any) -> dict[str, Any]:
        found = {}
        for name in stored.attrs:
            if name.rstrip("0123456789") not in ATTRIBUTES:
                continue
            attribute = stored.attrs.get_id(name)
            if math.prod(attribute.shape) * attribute.dtype.itemsize > LARGEST_ATTRIBUTE:
                self.refuse(stored, f"has more than {LARGEST_ATTRIBUTE:,} bytes of {name}")
            found[name] = stored.attrs[name]
        return found

    def array(self, dataset: Any) -> Array:
        if dataset.external or dataset.is_virtual:
            self.refuse(dataset, "is stored in another file")
        name, shape, dtype = dataset.name, dataset.shape or (), dataset.dtype
        if dtype == np.dtype("V2"):  # HDF5 has no bfloat16: Keras stores its two bytes as they are
            dtype = np.dtype(ml_dtypes.bfloat16)
        where = f"{name} in {self.where}"

        def read() -> np.ndarray:
            with reading(self.where), h5py().File(self.source, "r") as file:
                return _values(file[name], where).view(dtype)

        return Array(shape, dtype, where, read, name)

    def refuse(self, item: Any, what: str) -> None:
        raise UserError(
            f"{item.name} in {self.where} {what}, which no file of Keras has: get it from another source"
        )


def _values(dataset: Any, where: str) -> np.ndarray:
    """Returns the values of an array, if all of them were written, in pieces that can be unpacked."""
    size, chunks = dataset.size * dataset.dtype.itemsize, dataset.chunks
    if chunks is None:
        whole = dataset.id.get_storage_size() >= size
    else:
        if math.prod(chunks) * dataset.dtype.itemsize > max(size, LARGEST_CHUNK):
            raise UserError(f"{where} is stored in pieces larger than the whole: its file is damaged")
        wanted = math.prod(-(-side // chunk) for side, chunk in zip(dataset.shape, chunks, strict=True))
        whole = dataset.id.get_num_chunks() >= wanted
    if not whole:
        raise UserError(f"{where} has values that were never written: its file is incomplete")
    return dataset[()] if dataset.shape else np.asarray(dataset[()])
