"""Making XLA compute something only once, and the arrays that the formulations for CPUs accept."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType


def stored(function: Callable[..., Any], *arrays: Any, by: jax.Array | None = None) -> Any:
    """Returns function(*arrays), one array or several, computed only once.

    XLA recomputes a long elementwise function in every loop that uses its result, unless it is inside a
    condition. The condition here cannot be predicted by XLA and has no effect: whether the first number of
    ``by``, or of the last array, is finite.
    """
    by = arrays[-1] if by is None else by
    number = lax.slice(by.reshape(-1), (0,), (1,)).reshape(())
    return lax.cond(number < jnp.inf, function, function, *arrays)


def suits(*arrays: jax.Array) -> bool:
    """Returns whether these arrays have known, positive sizes and are on no manual or explicit mesh.

    Inside `jax.shard_map` and under explicit mesh axes, gradients written by hand would have to specify their
    layout on the devices. A mesh that XLA partitions automatically is no obstacle.
    """
    return all(_suits(jax.typeof(array)) for array in arrays)


def _suits(kind: Any) -> bool:
    counted = all(isinstance(size, int) and size > 0 for size in kind.shape)
    by_hand = getattr(kind, "vma", None) or AxisType.Explicit in kind.sharding.mesh.axis_types
    return counted and not by_hand
