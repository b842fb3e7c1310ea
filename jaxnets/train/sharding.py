"""How a training state lies on a mesh: whole on every device, or split over them (fully sharded).

One rule says where an array lies, and XLA's partitioner derives the program from that: a step gathers the
parameters, each device computes the gradients of its part of the batch, and these are added up and split
again, so that every device updates the part of the parameters and of the optimizer's memory that it keeps.

Source: ZeRO, arXiv:1910.02054.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets.data.device import replicate
from jaxnets.machine.distributed import FSDP, check_alike

LEAST = 1024  # elements; smaller arrays lie whole on every device: gathering them takes longer than they save


def is_split(mesh: Mesh | None) -> bool:
    """Returns whether states are split over this mesh: its first axis has the name "fsdp"."""
    return mesh is not None and mesh.axis_names[0] == FSDP


def state_sharding(tree: Any, mesh: Mesh) -> Any:
    """Returns where each array of a state lies, a `NamedSharding` each.

    On a mesh whose axis is "fsdp", arrays of at least `LEAST` elements are split along the longest of their
    axes that the number of devices divides; all others lie whole on every device.

    Args:
        tree: Arrays, or their shapes.
        mesh: The devices.
    """
    axis = mesh.axis_names[0]
    count = mesh.shape[axis]

    def place(leaf: Any) -> NamedSharding:
        lengths = [length if length % count == 0 else 0 for length in leaf.shape]
        if not is_split(mesh) or math.prod(leaf.shape) < LEAST or not any(lengths):
            return NamedSharding(mesh, PartitionSpec())
        longest = lengths.index(max(lengths))
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, axis))

    return jax.tree.map(place, tree)


def place_state(state: Any, mesh: Mesh | None) -> Any:
    """Copies a state to the device, or to those of the mesh, whole or split as `state_sharding` says.

    Raises:
        UserError: If another process gives other numbers.
    """
    if mesh is None or not is_split(mesh):
        return replicate(state, mesh)
    host = jax.tree.map(np.asarray, jax.device_get(state))
    check_alike("parameters", host)

    def place(values: np.ndarray, sharding: NamedSharding) -> jax.Array:
        return jax.make_array_from_callback(values.shape, sharding, lambda part: values[part])

    return jax.tree.map(place, host, state_sharding(host, mesh))


def sharded(step: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """Returns (state, sums, batch) -> (state, sums) that keeps the state split, on a mesh for that.

    Without this XLA might split the network's activations along their features instead.
    """
    if mesh is None or not is_split(mesh):
        return step

    def run(state: Any, sums: Any, batch: Any) -> tuple[Any, Any]:
        params = lax.with_sharding_constraint(state.params, NamedSharding(mesh, PartitionSpec()))
        new, sums = step(dataclasses.replace(state, params=params), sums, batch)
        return lax.with_sharding_constraint(new, state_sharding(new, mesh)), sums

    return run
