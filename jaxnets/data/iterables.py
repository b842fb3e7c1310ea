"""Batches from elsewhere: any iterable that can be read repeatedly, such as another library's loader."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count, islice
from typing import Any

import numpy as np

from jaxnets.data.formats.depth import check_pixels
from jaxnets.data.source import as_int32
from jaxnets.errors import UserError

NAMES = {"image": "x", "label": "y", "sample_weight": "weights"}  # TFDS's names, and Keras's


class IterableBatches:
    """The batches of an iterable, converted to NumPy arrays of one size, with masks.

    A batch may be a mapping with "x" and "y" (or "image" and "label"), a pair (x, y) or, with weights for
    the loss, (x, y, weights), of anything that NumPy reads, such as JAX arrays or PyTorch or TensorFlow
    tensors. Bytes stay bytes; other numbers become float32 and int32. The first batch sets the size, and
    smaller ones are padded with rows of mask 0. In a batch without "mask" all rows count.

    Args:
        batches: An iterable that can be read repeatedly (a list, a PyTorch DataLoader, a Grain loader, a
            `tf.data.Dataset`), one pass after another; or a function of the epoch's number, from 0, that
            returns an iterable of that epoch's batches.
        steps_per_epoch: Number of batches in an epoch. By default those of a pass, if the iterable has a
            length.

    Raises:
        UserError: If the iterable can be read only once, or is none; later, if a batch is not as described
            above, or an epoch has fewer batches than `steps_per_epoch`.
    """

    def __init__(
        self, batches: Iterable[Any] | Callable[[int], Iterable[Any]], steps_per_epoch: int | None = None
    ):
        kind = type(batches).__name__
        if isinstance(batches, Iterator):
            raise UserError(
                f"batches of type {kind} can be read only once, and every epoch reads them anew: give "
                "one that can be read again (a list, a loader), or a function of the epoch that returns it"
            )
        if not callable(batches) and not isinstance(batches, Iterable):
            raise UserError(
                f"an object of type {kind} holds no batches: give jaxnets.data.Batches, any iterable of "
                "batches, or a function of the epoch that returns one"
            )
        self._batches, self._length, self._size = batches, _length_of(batches), 0
        self.steps_per_epoch = steps_per_epoch or self._length

    @property
    def examples_per_epoch(self) -> int:
        """The number of examples in an epoch, including the padding of the last batch."""
        return (self.steps_per_epoch or 0) * self._size

    def count(self, step: int) -> int:
        """Returns the number of examples in the batch of a step, including padding."""
        return self._size

    def epoch(self, epoch: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Yields the batches of one pass."""
        for number, batch in enumerate(self._pass(epoch)):
            yield self._alike(batch, number)

    def steps(self, first: int = 0, stop: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Yields the batches of steps `first` to `stop` (without end if None), counted over all epochs.

        Batches before `first` are read and skipped, except for whole passes of an iterable with a length and
        whole epochs of a function.
        """
        known = self.steps_per_epoch if callable(self._batches) else self._length
        passes, skipped = divmod(first, known) if known else (0, first)
        stream = islice(chain.from_iterable(map(self._whole, count(passes))), skipped, None)
        for number, batch in enumerate(islice(stream, None if stop is None else stop - first), first):
            yield self._alike(batch, number % (self.steps_per_epoch or number + 1))

    def _pass(self, epoch: int) -> Iterable[Any]:
        return self._batches(epoch) if callable(self._batches) else self._batches

    def _whole(self, epoch: int) -> Iterator[Any]:
        """Yields one pass; of a function's iterable, only as many batches as an epoch has."""
        wanted = self.steps_per_epoch if callable(self._batches) else None
        taken = 0
        for batch in islice(self._pass(epoch), wanted):
            taken += 1
            self._size = self._size or len(_arrays(batch)["x"])
            yield batch
        if taken < (wanted or 1):
            raise UserError(
                f"epoch {epoch + 1} has {taken} batches: there must be {wanted or 'at least one'}"
            )

    def _alike(self, batch: Any, position: int) -> dict[str, np.ndarray]:
        rows = _arrays(batch)
        sizes = {key: len(value) for key, value in rows.items()}
        if len(set(sizes.values())) > 1 or not sizes["x"]:
            held = ", ".join(f"{size} {key}" for key, size in sizes.items())
            raise UserError(f"a batch holds {held}: there must be equally many of each, and at least one")
        here = sizes["x"]
        self._size = self._size or here  # that of the first in a pass, wherever reading begins
        if here > self._size:
            raise UserError(
                f"a batch holds {here} examples and the first one {self._size}: the first must have the "
                "largest size, to which the others are padded"
            )
        start = position * self._size
        index, mask = np.arange(start, start + here, dtype=np.int32), np.ones(here, np.float32)
        rows = {"index": index, "mask": mask} | rows
        more = self._size - here
        filled = {key: np.concatenate([value, value[:1].repeat(more, 0)]) for key, value in rows.items()}
        filled["mask"][here:] = 0
        return filled


def _length_of(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:  # a function, or an iterable that cannot tell
        return None


def _arrays(batch: Any) -> dict[str, np.ndarray]:
    if isinstance(batch, Mapping):
        named = {str(NAMES.get(key, key)): value for key, value in batch.items()}
    elif isinstance(batch, (tuple, list)) and len(batch) in (2, 3):
        named = dict(zip(("x", "y", "weights"), batch, strict=False))
    else:
        named = {}
    if not {"x", "y"} <= named.keys():
        held = f" with {list(batch)}" if isinstance(batch, Mapping) else ""
        raise UserError(
            f"a batch is a {type(batch).__name__}{held}: it must be a mapping with x and y, or a pair (x, y)"
        )
    return {key: _as_numbers(key, value) for key, value in named.items()}


def _as_numbers(key: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise UserError(
            f"{key} of a batch has shape {array.shape} and dtype {array.dtype}: it must hold a number or an "
            "array of numbers for every example"
        )
    if key in ("mask", "weights"):
        return array.astype(np.float32)
    if array.dtype == np.uint8 and key == "x":
        return array
    if key == "x":
        check_pixels(array, "x of a batch")
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return as_int32(f"{key} of a batch", array)
