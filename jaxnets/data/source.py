"""Data sets: a length, examples by index, and features that describe an example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from jaxnets import html
from jaxnets.data.formats.depth import check_pixels
from jaxnets.errors import UserError

SHOWN = 10  # classes that a table names


@dataclass(frozen=True)
class Features:
    """The shape, dtype and classes of one example.

    Attributes:
        shape: Shape of the input, without the batch axis: (28, 28, 1) for grey images, (4,) for iris.
        dtype: Dtype of the input as stored: "uint8" for images, "float32" for numbers, "int32" for tokens.
        classes: Names of the labels, in the order of their numbers; empty for the targets of a regression.
    """

    shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...]

    def __str__(self) -> str:
        """Returns the features in words."""
        kind = f"{len(self.classes):,} classes" if self.classes else "regression"
        return f"{self.dtype} {self.shape}, {kind}"


class Source(Protocol):
    """Random access to examples.

    `source[i]` is {"x": array of features.shape, "y": int32 label or float32 target}, with any further keys
    of the examples ("boxes"); `source[rows]`, with an array of indices, is the same, stacked;
    `source.labels()` is all of "y". Every source can be passed directly to `grain.MapDataset.source`.
    """

    @property
    def features(self) -> Features: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any) -> dict[str, Any]: ...
    def labels(self) -> np.ndarray: ...


def describe(source: Source) -> str:
    """Returns a source in words, for its `repr`."""
    return f"{type(source).__name__}({len(source):,} examples: {source.features})"


class ArraySource:
    """Examples that lie in memory.

    Args:
        x: (N, ...) inputs: uint8 images (N, H, W, C), float32 numbers, or int32 tokens.
        y: (N,) integer labels, or (N,) or (N, K) float32 targets of a regression.
        classes: Names of the labels. By default the numbers themselves.
        more: Further arrays of the examples by name, (N, ...) each, such as boxes=(N, K, 4).

    Raises:
        UserError: If the lengths differ, there are no examples, a number is not finite, a label is outside
            0 ... len(classes) - 1, or images are whole numbers other than uint8, whose range is unknown.
    """

    def __init__(self, x: Any, y: Any, classes: Sequence[str] | None = None, **more: Any):
        self.arrays = {key: _as_stored(key, value) for key, value in {"x": x, "y": y, **more}.items()}
        self.x, self.y = self.arrays["x"], self.arrays["y"]
        sizes = {key: len(value) for key, value in self.arrays.items()}
        if len(set(sizes.values())) > 1 or not len(self.x):
            raise UserError(
                f"the arrays of a source hold {', '.join(f'{n} {key}' for key, n in sizes.items())}: "
                "there must be equally many of each, and at least one"
            )
        if self.y.dtype == np.float32:
            classes = ()
        elif self.y.ndim != 1:
            raise UserError(f"labels of shape {self.y.shape}: whole-number labels must be (N,)")
        elif classes is None:
            classes = [str(label) for label in range(int(self.y.max()) + 1)]
        if self.y.dtype == np.int32 and (self.y.min() < 0 or self.y.max() >= len(classes)):
            right = f"with {len(classes)} classes they must be 0 to {len(classes) - 1}"
            if self.y.max() < len(classes):
                right = "number the classes from 0, or give floats if they are to be predicted as numbers"
            raise UserError(f"labels run from {self.y.min()} to {self.y.max()}: {right}")
        self.features = Features(self.x.shape[1:], str(self.x.dtype), tuple(classes))

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self.x)

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """Returns one example, or a batch for an array of indices."""
        return {key: value[index] for key, value in self.arrays.items()}

    def labels(self) -> np.ndarray:
        """Returns the labels or targets of all examples, without their inputs."""
        return self.y

    __repr__ = describe


def _as_stored(key: str, value: Any) -> np.ndarray:
    """Returns an array with bytes kept, other whole numbers as int32 and the rest as float32."""
    value = np.asarray(value)
    if value.ndim == 0 or value.dtype.kind not in "biuf":
        number = key == "y" and value.ndim == 1
        hint = "; number the classes with `names, y = np.unique(y, return_inverse=True)`" if number else ""
        raise UserError(f"{key} of shape {value.shape} and dtype {value.dtype}: it must hold numbers{hint}")
    if key == "x" and value.dtype == np.uint8:
        return value
    if key == "x":
        check_pixels(value, key)
    if value.dtype.kind != "f":
        return as_int32(key, value)
    with np.errstate(over="ignore"):
        stored = value.astype(np.float32)
    if not np.isfinite(stored).all():
        what = "too large for float32" if np.isfinite(value).all() else "not finite"
        raise UserError(f"{key} has values that are {what}: leave those rows out, or change them")
    return stored


def as_int32(what: str, values: np.ndarray) -> np.ndarray:
    """Returns whole numbers as int32; raises UserError if one of them does not fit."""
    if values.size and not -(2**31) <= int(values.min()) <= int(values.max()) < 2**31:
        raise UserError(f"{what} has numbers that do not fit into int32: give smaller ones, or floats")
    return values.astype(np.int32)


class Subset:
    """Some rows of a source, in the order given."""

    def __init__(self, source: Source, rows: np.ndarray):
        self.source, self.rows, self.features = source, rows, source.features

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """Returns one example, or a batch for an array of indices."""
        return self.source[self.rows[index]]

    def labels(self) -> np.ndarray:
        """Returns the labels or targets of all examples, without their inputs."""
        return self.source.labels()[self.rows]

    __repr__ = describe


@dataclass(frozen=True)
class Dataset:
    """The examples to learn from and the held-out ones.

    Attributes:
        name: Its name, for `load` if it was opened by that.
        train: The examples to learn from.
        test: The held-out ones.
        options: What `load` needs besides the name to open the same data set again, such as "data_dir".
    """

    name: str
    train: Source
    test: Source
    options: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def features(self) -> Features:
        """The features of an example, the same in both parts."""
        return self.train.features

    def __repr__(self) -> str:
        counts = f"{len(self.train):,} examples to learn from, {len(self.test):,} held out"
        return f"Dataset({self.name}: {counts}, {self.features})"

    def _repr_html_(self) -> str:
        """Returns a table for notebooks."""
        some = ", ".join(map(str, self.features.classes[:SHOWN]))
        more = ", ..." if len(self.features.classes) > SHOWN else ""
        classes = f"{len(self.features.classes):,}: {some}{more}" if some else "none: a regression"
        rows = {
            "examples to learn from": len(self.train),
            "held-out examples": len(self.test),
            "one example": f"{self.features.dtype} {self.features.shape}",
            "classes": classes,
            **self.options,
        }
        return html.table(f"data set {self.name}", rows.items())
