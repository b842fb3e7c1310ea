"""How XLA is made to compute something once, and which arrays the formulations for CPUs take."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType


def stored(function: Callable[..., Any], *arrays: Any, by: jax.Array | None = None) -> Any:
    """Returns function(*arrays), an array or several, computed once.

    XLA computes a long elementwise function again in every loop that uses its result, unless it stands behind
    a condition. This one XLA cannot foresee, and it makes no difference: whether the first number of ``by``
    is finite, or of the last array.
    """
    by = arrays[-1] if by is None else by
    number = lax.slice(by.reshape(-1), (0,), (1,)).reshape(())
    return lax.cond(number < jnp.inf, function, function, *arrays)


def suits(*arrays: jax.Array) -> bool:
    """Whether these arrays have shapes of known, positive numbers, on no mesh that is programmed by hand.

    Not inside `jax.shard_map` and not under explicit mesh axes: there the gradients that are written by hand
    would have to say how they lie on the devices. A mesh that XLA partitions by itself is no obstacle.
    """
    return all(_suits(jax.typeof(array)) for array in arrays)


def _suits(kind: Any) -> bool:
    counted = all(isinstance(size, int) and size > 0 for size in kind.shape)
    by_hand = getattr(kind, "vma", None) or AxisType.Explicit in kind.sharding.mesh.axis_types
    return counted and not by_hand
