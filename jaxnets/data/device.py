"""From the host to the device: whole data sets that stay there, or batches that arrive ahead of time."""

import dataclasses
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets.data.iterables import IterableBatches
from jaxnets.data.sampler import Batches
from jaxnets.data.source import ArraySource, Source
from jaxnets.errors import UserError
from jaxnets.machine.distributed import check_alike

SHARE = 0.25  # of the device's memory that a resident data set may take
AHEAD = 2  # batches on the device before their step: one is copied while another is in use

Batch = Mapping[str, Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """A resident array, an example a row.

    XLA would lay out an array with few channels with the examples innermost on a TPU, and gather from that.

    Attributes:
        rows: (N, numbers).
        shape: Shape of an example.
    """

    rows: Any
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, values: Any) -> "Rows":
        """Returns an array (N, ...) as rows."""
        shape = values.shape[1:]
        return cls(values.reshape(len(values), math.prod(shape)), shape)

    def __getitem__(self, index: jax.Array) -> jax.Array:
        return self.rows[index].reshape(*index.shape, *self.shape)


class OnDevice:
    """Batches on the device, either resident or streamed.

    Resident: device memory holds the whole source as it is stored (images as bytes), every batch refers to
    all of it, {"resident": {"x": Rows, "y": Rows}, "index": (B,), "mask": (B,)}, and `gather` picks
    its rows inside the compiled step. Streamed: {"x", "y", "index", "mask"}, read and copied ahead of time.
    After `gather` both are the same, bit for bit.

    Args:
        batches: The batches; their shards, order and masks are kept. Those of an iterable are always
            streamed.
        resident: Whether to keep the whole source on the device. By default if it takes less than a quarter
            of the device's memory, in every process.
        mesh: Devices to split every batch over, along the mesh's first axis; if they do not divide it, it is
            padded with rows of mask 0. With several processes, each reads its own shard.

    Raises:
        UserError: If another process has other examples, or cuts them into other batches.
    """

    def __init__(
        self, batches: Batches | IterableBatches, resident: bool | None = None, mesh: Mesh | None = None
    ):
        self.mesh, self.resident = mesh, None
        if isinstance(batches, IterableBatches):
            self.batches: Batches | IterableBatches = batches
            return
        several = mesh is not None and jax.process_count() > 1
        if several:
            which = (len(batches.source), batches.source.features)
            how = (batches.batch_size, batches.seed, batches.replacement)
            check_alike("examples or batches", str(which + how))
            if batches.shard[1] == 1:
                batches = batches.sharded(jax.process_index(), jax.process_count())
        self.batches = batches
        if resident is None:
            resident = stored_bytes(batches.source) < SHARE * device_memory()
            if several:  # hosts differ in memory, but all run one program
                resident = bool(multihost_utils.process_allgather(np.array(resident)).all())
        self.resident = replicate(as_rows(read_all(batches.source)), mesh) if resident else None

    @property
    def steps_per_epoch(self) -> int | None:
        """The number of batches in an epoch; None if unknown."""
        return self.batches.steps_per_epoch

    def epoch(self, epoch: int = 0) -> Iterator[dict[str, Any]]:
        """Yields the batches of an epoch."""
        if isinstance(self.batches, IterableBatches):
            return self._arriving(self.batches.epoch(epoch))
        steps = self.batches.steps_per_epoch
        return self.steps(epoch * steps, (epoch + 1) * steps)

    def steps(self, first: int = 0, stop: int | None = None) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps `first` to `stop` (without end if None), counted over all epochs."""
        if self.resident is None or isinstance(self.batches, IterableBatches):
            return self._arriving(self.batches.steps(first, stop))
        plans = self.batches.plans(first, stop)
        return ({"resident": self.resident, **self._spread(plan)} for plan in plans)

    def _arriving(self, batches: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, Any]]:
        arrived = deque[dict[str, Any]]()
        for batch in batches:
            arrived.append(self._spread(batch))
            if len(arrived) > AHEAD:
                yield arrived.popleft()
        yield from arrived

    def _spread(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """Copies a batch to the device, or splits its rows over the devices of the mesh."""
        if self.mesh is None:  # on a CPU the step reads NumPy arrays in place, in a third of the time
            return rows if jax.default_backend() == "cpu" else jax.device_put(rows)
        axis, size = self.mesh.axis_names[0], len(rows["mask"])
        more = -size % (self.mesh.shape[axis] // jax.process_count())
        filled = {key: np.concatenate([value, value[:1].repeat(more, 0)]) for key, value in rows.items()}
        filled["mask"][size:] = 0
        part = NamedSharding(self.mesh, PartitionSpec(axis))
        return {key: jax.make_array_from_process_local_data(part, value) for key, value in filled.items()}


# `Batches`, anything that `IterableBatches` takes, or either on the device.
AnyBatches = Batches | IterableBatches | OnDevice | Iterable[Any] | Callable[[int], Iterable[Any]]


def on_device(
    batches: AnyBatches,
    resident: bool | None = None,
    mesh: Mesh | None = None,
) -> OnDevice:
    """Returns `OnDevice(batches, resident, mesh)`; batches that are on the device already are returned as is.

    Args:
        batches: `Batches`, or anything that `IterableBatches` takes.
        resident: See `OnDevice`.
        mesh: See `OnDevice`.

    Raises:
        UserError: If the batches are there already but not split over this mesh; or as `IterableBatches`.
    """
    if not isinstance(batches, OnDevice):
        if not isinstance(batches, (Batches, IterableBatches)):
            batches = IterableBatches(batches)
        return OnDevice(batches, resident, mesh)
    if batches.mesh != mesh:
        there, here = (_devices(some) for some in (batches.mesh, mesh))
        raise UserError(
            f"these batches go to {there}, and the training runs on {here}: give on_device the same mesh, or "
            "leave it out, since fit and evaluate do the same"
        )
    return batches


def _devices(mesh: Mesh | None) -> str:
    return "one device" if mesh is None else f"a mesh of {mesh.size}"


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Copies a pytree of arrays to the device, or to every device of the mesh.

    Raises:
        UserError: If another process gives other values.
    """
    if mesh is None:
        return jax.device_put(tree)
    whole = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, whole)
    # Not by `device_put`: in a process with one device, it takes an array that lies there for one that lies
    # on all devices (jax 0.10 to 0.12); the result computes, but has no shards and cannot be saved. And to
    # compare the values of the processes, it would gather all of them on every device.
    tree = jax.tree.map(np.asarray, jax.device_get(tree))
    check_alike("parameters or data", tree)
    return jax.tree.map(partial(jax.make_array_from_process_local_data, whole), tree)


def gather(batch: Batch) -> Batch:
    """Returns the batch with its rows picked from a resident data set, if any, and with a mask; pure.

    In a batch without "mask" all rows count.
    """
    if "resident" in batch:
        rows = {name: values[batch["index"]] for name, values in batch["resident"].items()}
        return {**rows, "index": batch["index"], "mask": batch["mask"]}
    return batch if "mask" in batch else {**batch, "mask": jnp.ones(len(batch["x"]))}


def as_rows(source: ArraySource) -> dict[str, Rows]:
    """Returns the arrays of a source as the device gets them."""
    return {name: Rows.of(values) for name, values in source.arrays.items()}


def read_all(source: Source) -> ArraySource:
    """Returns the whole source in host memory, in its own order, read by several threads."""
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
    """Returns the number of bytes that the inputs of a source take as they are stored."""
    return len(source) * int(np.prod(source.features.shape)) * np.dtype(source.features.dtype).itemsize


def device_memory() -> float:
    """Returns the memory of the first local device in bytes, or the machine's if the device uses that."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # unknown: stream whatever is not small
        return 4e9
