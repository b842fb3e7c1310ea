"""From the host to the device: whole data sets that stay there, or batches that arrive ahead of time."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets.data.sampler import Batches
from jaxnets.data.source import ArraySource, Source
from jaxnets.process import check_alike

SHARE = 0.25  # of the device's memory that a resident data set may take
AHEAD = 2  # batches on the device before their step: one is copied while another is computed on

Batch = Mapping[str, Any]


class OnDevice:
    """The batches of `batches`, on the device.

    Resident: the whole source lies in device memory as it is stored (images as bytes), every batch refers
    to all of it, {"resident": {"x": (N, ...), "y": (N, ...)}, "index": (B,), "mask": (B,)}, and `gather`
    picks its rows inside the compiled step. Streamed: {"x", "y", "index", "mask"}, read and copied ahead.
    After `gather` both are the same, bit for bit.

    Args:
        batches: what to bring there; its shards, order and masks stay as they are.
        resident: whether the whole source shall lie on the device; by default, if it takes less than a
            quarter of its memory, in every process.
        mesh: devices to spread every batch over, by the mesh's first axis; where they do not divide it,
            rows of mask 0 fill it up. Of several processes, each reads its own shard.

    Raises:
        UserError: another process has other examples, or cuts them into other batches.
    """

    def __init__(self, batches: Batches, resident: bool | None = None, mesh: Mesh | None = None):
        several = mesh is not None and jax.process_count() > 1
        if several:
            which = (len(batches.source), batches.source.features)
            how = (batches.batch_size, batches.seed, batches.replacement)
            check_alike("examples or batches", str(which + how))
            if batches.shard[1] == 1:
                batches = batches.sharded(jax.process_index(), jax.process_count())
        self.batches, self.source, self.steps_per_epoch = batches, batches.source, batches.steps_per_epoch
        self.mesh = mesh
        if resident is None:
            resident = stored_bytes(batches.source) < SHARE * device_memory()
            if several:  # hosts differ in memory, and all run one program
                resident = bool(multihost_utils.process_allgather(np.array(resident)).all())
        self.resident = replicate(read_all(batches.source).arrays, mesh) if resident else None

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yields the batches of an epoch from batch `start` on."""
        return self.steps(epoch * self.steps_per_epoch + start, (epoch + 1) * self.steps_per_epoch)

    def steps(self, first: int = 0, stop: int | None = None) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps `first` to `stop` (without end if None), counted over all epochs."""
        if self.resident is not None:
            for plan in self.batches.plans(first, stop):
                yield {"resident": self.resident, **self._spread(plan)}
            return
        arrived = deque[dict[str, Any]]()
        for batch in self.batches.steps(first, stop):
            arrived.append(self._spread(batch))
            if len(arrived) > AHEAD:
                yield arrived.popleft()
        yield from arrived

    def _spread(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """Copies a batch to the device, or to those of the mesh, each its part of the rows."""
        if self.mesh is None:  # a CPU's step reads NumPy arrays where they are, in a third of the time
            return rows if jax.default_backend() == "cpu" else jax.device_put(rows)
        axis, size = self.mesh.axis_names[0], len(rows["mask"])
        more = -size % (self.mesh.shape[axis] // jax.process_count())
        filled = {key: np.concatenate([value, value[:1].repeat(more, 0)]) for key, value in rows.items()}
        filled["mask"][size:] = 0
        part = NamedSharding(self.mesh, PartitionSpec(axis))
        return {key: jax.make_array_from_process_local_data(part, value) for key, value in filled.items()}


def on_device(
    batches: Batches | OnDevice, resident: bool | None = None, mesh: Mesh | None = None
) -> OnDevice:
    """Returns `OnDevice(batches, resident, mesh)`; what is there already stays as it is."""
    return batches if isinstance(batches, OnDevice) else OnDevice(batches, resident, mesh)


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Copies a pytree of arrays to the device, or whole to every device of the mesh.

    Raises:
        UserError: another process gives other numbers.
    """
    if mesh is None:
        return jax.device_put(tree)
    whole = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, whole)
    # Not by `device_put`: where a process has one device, it takes an array that lies there for one that lies
    # on all of them (jax 0.10 to 0.12); the result computes, but has no shards and cannot be saved. And to
    # compare what the processes give, it would hold all of it on every device.
    tree = jax.tree.map(np.asarray, jax.device_get(tree))
    check_alike("parameters or data", tree)
    return jax.tree.map(partial(jax.make_array_from_process_local_data, whole), tree)


def gather(batch: Batch) -> Batch:
    """Picks a batch's rows out of a resident data set; any other batch is returned as it is. Pure."""
    if "resident" not in batch:
        return batch
    rows = jax.tree.map(lambda values: values[batch["index"]], batch["resident"])
    return {**rows, "index": batch["index"], "mask": batch["mask"]}


def read_all(source: Source) -> ArraySource:
    """Returns the whole source in host memory, read by threads in its own order."""
    if isinstance(source, ArraySource):
        return source
    size = len(source)
    arrays: dict[str, np.ndarray] = {}
    for batch in Batches(source, 256).epoch():
        rows = batch["index"][batch.pop("mask") > 0]
        for key in batch.keys() - {"index"}:
            held = arrays.setdefault(key, np.empty((size, *batch[key].shape[1:]), batch[key].dtype))
            held[rows] = batch[key][: len(rows)]
    return ArraySource(**arrays, classes=source.features.classes or None)


def stored_bytes(source: Source) -> int:
    """The memory that the inputs of a source take as they are stored."""
    return len(source) * int(np.prod(source.features.shape)) * np.dtype(source.features.dtype).itemsize


def device_memory() -> float:
    """The memory of the first local device in bytes; of the machine, where the device uses that."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # unknown: stream whatever is not small
        return 4e9
