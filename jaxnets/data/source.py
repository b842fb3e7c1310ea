"""What a data set is to jaxnets: a length, items by index, and features that say what an item holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jaxnets.errors import UserError


@dataclass(frozen=True)
class Features:
    """What one example holds.

    Attributes:
        shape: of the input, without the batch: (28, 28, 1) for grey images, (4,) for iris.
        dtype: of the input as stored: "uint8" for images, "float32" for numbers.
        classes: the names of the labels, in the order of their numbers.
    """

    shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...]


class Source(Protocol):
    """Random access to examples: `source[i]` is {"x": array of features.shape, "y": int32 label}."""

    features: Features

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, Any]: ...


class ArraySource:
    """Examples that lie in memory.

    Args:
        x: (N, ...) inputs: uint8 images (N, H, W, C), or float32 numbers.
        y: (N,) integer labels.
        classes: names of the labels; the numbers themselves when left out.

    Raises:
        UserError: the lengths differ, there is nothing in it, or a label is outside 0 ... len(classes) - 1.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, classes: Sequence[str] | None = None):
        x, y = np.asarray(x), np.asarray(y)
        if len(x) == 0 or len(x) != len(y):
            raise UserError(
                f"{len(x)} inputs and {len(y)} labels: an array source needs as many of both, at least one"
            )
        if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
            raise UserError(f"labels of shape {y.shape} and dtype {y.dtype}: they must be (N,) whole numbers")
        if classes is None:
            classes = [str(label) for label in range(int(y.max()) + 1)]
        if y.min() < 0 or y.max() >= len(classes):
            raise UserError(
                f"labels run from {y.min()} to {y.max()}: with {len(classes)} classes they must be "
                f"0 to {len(classes) - 1}"
            )
        self.x = x if x.dtype == np.uint8 else x.astype(np.float32)
        self.y = y.astype(np.int32)
        self.features = Features(x.shape[1:], str(self.x.dtype), tuple(classes))

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self.x)

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """Returns one example, or a batch for an array of indices."""
        return {"x": self.x[index], "y": self.y[index]}


@dataclass(frozen=True)
class Dataset:
    """The examples to learn from and the held-out ones to judge by."""

    name: str
    train: Source
    test: Source

    @property
    def features(self) -> Features:
        """What an example holds; the same in both parts."""
        return self.train.features
