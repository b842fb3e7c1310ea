"""Batches in an order that is a pure function of (seed, epoch): resuming takes only the step number."""

import copy
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cached_property
from itertools import chain, count, islice
from typing import Any

import numpy as np

from jaxnets.data.source import ArraySource, Source
from jaxnets.errors import UserError, whole

LARGEST = 4096  # a batch size that may exceed the number of examples: the rest of the rows is padding
AHEAD = 2  # tasks read ahead per worker
TASK_EXAMPLES, TASK_BYTES = 512, 8_000_000  # the most that a task reads, unless one batch is more


def epoch_order(size: int, seed: int, epoch: int, *, replacement: bool = False) -> np.ndarray:
    """Returns the order of `size` examples in an epoch, int64 (size,).

    Every index occurs once or, with replacement, as often as it is drawn. Only the raw bits of the Philox
    generator are used, since NumPy promises never to change them, unlike `Generator.permutation`.

    Examples:
        >>> sorted(epoch_order(5, seed=0, epoch=3).tolist())
        [0, 1, 2, 3, 4]
    """
    bits = np.random.Philox(key=np.array([seed % 2**64, epoch], np.uint64)).random_raw(size)
    if replacement:
        return (bits % np.uint64(size)).astype(np.int64)
    return np.argsort(bits, kind="stable")


class Batches:
    """Batches of one fixed size from a source; the last one is padded and masked, never dropped.

    Args:
        source: The examples.
        batch_size: Number of examples in a batch, over all shards.
        seed: Seed of the shuffle; None keeps the source's own order (for evaluation).
        replacement: Whether to draw every example from all of them; an epoch has the same number of steps.
        shard: (index, number of shards): the rows of every batch that this process feeds. Shards are
            disjoint, cover the batch and have equal sizes, with masked rows if these do not divide evenly.
        workers: Number of processes that read ahead, for sources whose decoding holds the interpreter lock;
            0 uses threads. A script that uses processes needs the `if __name__ == "__main__"` guard.

    Raises:
        UserError: If the batch size is not positive or far more than all examples, or there is no such shard.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        seed: int | None = None,
        *,
        replacement: bool = False,
        shard: tuple[int, int] = (0, 1),
        workers: int = 0,
    ):
        batch_size = whole("batch size", batch_size, least=1)
        if batch_size > max(len(source), LARGEST):
            raise UserError(f"batch size {batch_size:,}: there are only {len(source):,} examples; give fewer")
        if not 0 <= shard[0] < shard[1]:
            raise UserError(f"shard {shard[0]} of {shard[1]}: it must be 0 to {shard[1] - 1}")
        if replacement and seed is None:
            raise UserError("drawing with replacement needs a seed")
        self.source, self.batch_size = source, batch_size
        self.seed = None if seed is None else whole("seed", seed)
        self.replacement, self.shard, self.workers = replacement, shard, workers

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch, including a partial last one."""
        return -(-len(self.source) // self.batch_size)

    @property
    def examples_per_epoch(self) -> int:
        """The number of examples in an epoch."""
        return len(self.source)

    def count(self, step: int) -> int:
        """Returns the number of examples in a step's batch (from 0, over all epochs), over all shards."""
        position = step % self.steps_per_epoch
        return min(self.batch_size, len(self.source) - position * self.batch_size)

    def sharded(self, which: int, of: int) -> "Batches":
        """Returns the part of the same batches that process `which` of `of` feeds."""
        part = copy.copy(self)
        part.shard = (which, of)
        return part

    def plan(self, epoch: int = 0) -> dict[str, np.ndarray]:
        """Returns the rows of the source in every batch of an epoch, and their masks.

        Returns:
            {"index": (steps, B) int32, "mask": (steps, B) float32}, where B is this shard's part of a batch;
            the mask is 0 on padding rows, which repeat the batch's first example.
        """
        size, steps, (which, shards) = len(self.source), self.steps_per_epoch, self.shard
        order = np.arange(size)
        if self.seed is not None:
            order = epoch_order(size, self.seed, epoch, replacement=self.replacement)
        order = np.pad(order, (0, steps * self.batch_size - size), constant_values=-1)
        rows = order.reshape(steps, self.batch_size)
        rows = np.pad(rows, ((0, 0), (0, -self.batch_size % shards)), constant_values=-1)
        part = np.split(rows, shards, axis=1)[which]
        index = np.where(part < 0, rows[:, :1], part).astype(np.int32)
        return {"index": index, "mask": (part >= 0).astype(np.float32)}

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Yields the batches of an epoch from batch `start` on.

        Yields:
            A batch {"x": (B, ...), "y": (B,), "index": (B,) int32, "mask": (B,) float32} with the source's
            other keys.
        """
        return self.steps(epoch * self.steps_per_epoch + start, (epoch + 1) * self.steps_per_epoch)

    def steps(self, first: int = 0, stop: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Yields the batches of steps `first` to `stop` (without end if None), counted over all epochs."""
        plans = self.plans(first, stop)
        if isinstance(self.source, ArraySource):
            yield from ({**self.source[plan["index"]], **plan} for plan in plans)
            return
        pending = deque[tuple[list[dict[str, np.ndarray]], Any]]()
        try:
            while True:
                while len(pending) < AHEAD * self._threads and (task := list(islice(plans, self._per_task))):
                    rows = np.concatenate([plan["index"] for plan in task])
                    pending.append((task, self._submit(rows)))
                if not pending:
                    return
                task, future = pending.popleft()
                examples, width = future.result(), len(task[0]["index"])
                for number, plan in enumerate(task):
                    some = slice(number * width, (number + 1) * width)
                    yield {**{key: value[some] for key, value in examples.items()}, **plan}
        finally:  # a consumer that stops early leaves no reading behind
            for _, future in pending:
                future.cancel()

    def plans(self, first: int = 0, stop: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Yields "index" and "mask" of the batches of steps `first` to `stop` (without end if None)."""
        epoch, start = divmod(first, self.steps_per_epoch)
        left = None if stop is None else stop - first
        whole = (self._epoch_plans(number, start if number == epoch else 0) for number in count(epoch))
        return islice(chain.from_iterable(whole), left)

    def _epoch_plans(self, epoch: int, start: int) -> Iterator[dict[str, np.ndarray]]:
        plan = self.plan(epoch)
        for step in range(start, self.steps_per_epoch):
            yield {key: value[step] for key, value in plan.items()}

    @property
    def _per_task(self) -> int:
        """The number of batches in a task: reading many records at once takes a third of the time."""
        features = self.source.features
        size = max(1, int(np.prod(features.shape)) * np.dtype(features.dtype).itemsize)
        return max(1, min(TASK_EXAMPLES, TASK_BYTES // size) // self.batch_size)

    @property
    def _threads(self) -> int:
        return self.workers or min(16, max(4, os.cpu_count() or 1))

    def _submit(self, rows: np.ndarray) -> Any:
        if self.workers:
            return self._pool.submit(_worker_read, rows)
        return self._pool.submit(self.source.__getitem__, rows)

    @cached_property
    def _pool(self) -> Executor:
        """The workers, kept from the first batch on: processes take a second to start."""
        if not self.workers:
            return ThreadPoolExecutor(self._threads, thread_name_prefix="batches")
        spawn = multiprocessing.get_context("spawn")  # a fork of a process that runs JAX can deadlock
        return ProcessPoolExecutor(self.workers, spawn, _start_worker, (self.source,))


_worker_source: Source  # in a worker process: sent once, when the process starts


def _start_worker(source: Source) -> None:
    global _worker_source
    _worker_source = source


def _worker_read(rows: np.ndarray) -> dict[str, np.ndarray]:
    return _worker_source[rows]
