"""The operations of a training step on all parameters at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def only_if(condition: jax.Array, change: Callable[..., Any], *old: Any) -> Any:
    """Returns change(*old), computed only if the scalar condition holds, else old."""
    return lax.cond(condition, change, lambda *old: old, *old)


def total(tree: Any) -> jax.Array:
    """Returns the sum of all numbers in a tree, (), as products with ones."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if leaf.size]
    rows = [leaf.reshape(-1, leaf.shape[-1] if leaf.ndim else 1) for leaf in leaves]
    return sum((jnp.sum(some @ jnp.ones(some.shape[1], some.dtype)) for some in rows), jnp.zeros(()))
