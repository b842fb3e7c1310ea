"""Batches in an order that is a pure function of (seed, epoch): to resume takes only the step number."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxnets.data.source import ArraySource, Source
from jaxnets.errors import UserError

THREADS = 8  # decoding an image releases the interpreter lock, so a few threads keep a train step fed


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of `size` examples in an epoch: int64 (size,), every index once.

    Example:
        >>> sorted(epoch_order(5, seed=0, epoch=3).tolist())
        [0, 1, 2, 3, 4]
    """
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(size)


class Batches:
    """Cuts a source into batches of one fixed size; the last one is filled up and masked, never dropped.

    Args:
        source: the examples.
        batch_size: examples in a batch.
        seed: of the shuffle; None keeps the source's own order (for evaluation).

    Raises:
        UserError: the batch size is not positive.
    """

    def __init__(self, source: Source, batch_size: int, seed: int | None = None):
        if batch_size < 1:
            raise UserError(f"batch size {batch_size}: it must be at least 1")
        self.source, self.batch_size, self.seed = source, batch_size, seed

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch, a partial last one included."""
        return -(-len(self.source) // self.batch_size)

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Yields the batches of an epoch from batch `start` on.

        Yields:
            {"x": (B, ...), "y": (B,) int32, "mask": (B,) float32}; the mask is 0 on rows that fill up.
        """
        size, width = len(self.source), self.batch_size
        order = np.arange(size) if self.seed is None else epoch_order(size, self.seed, epoch)
        order = order[start * width :]
        for batch in _read(self.source, order, width):
            count = len(batch["y"])
            mask = (np.arange(width) < count).astype(np.float32)
            if count < width:
                batch = {key: np.resize(value, (width, *value.shape[1:])) for key, value in batch.items()}
            yield {**batch, "mask": mask}


def _read(source: Source, order: np.ndarray, width: int) -> Iterator[dict[str, Any]]:
    """Yields the examples in this order, stacked by `width`: by fancy index, or read ahead by threads."""
    if isinstance(source, ArraySource):
        for start in range(0, len(order), width):
            yield source[order[start : start + width]]
        return
    rows = _read_ahead(source, order)
    for start in range(0, len(order), width):
        some = [next(rows) for _ in range(min(width, len(order) - start))]
        yield {key: np.stack([row[key] for row in some]) for key in some[0]}


def _read_ahead(source: Source, order: np.ndarray) -> Iterator[dict[str, Any]]:
    try:
        import grain
    except ImportError:  # slower, and the same examples in the same order
        return (source[index] for index in order)
    items = grain.MapDataset.source(order).map(lambda index: source[index])
    return iter(
        items.to_iter_dataset(grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=16 * THREADS))
    )
