"""Penalties: functions of the parameters, added to a loss."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def kernels(params: Any) -> Any:
    """Returns a tree of booleans like params, True for every variable named `kernel`.

    This matches Keras's `kernel_regularizer`: recurrent, depthwise and pointwise kernels have names and, in
    Keras, regularizers of their own.
    """

    def is_kernel(path, _):
        return bool(path) and getattr(path[-1], "key", None) == "kernel"

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def l1_l2_penalty(
    params: Any, l1: float = 0.0, l2: float = 0.0, select: Callable[[Any], Any] = kernels
) -> jax.Array:
    """Returns l1 sum(|w|) + l2 sum(w^2), (), over the selected variables, as Keras's regularizers do.

    There is no 1/2: the gradient is 2 l2 w. Biases, scales and embeddings are not penalized unless `select`,
    a function from params to a tree of booleans, selects them.
    """
    chosen = jax.tree.map(lambda w, take: w if take else None, params, select(params))
    zero = jnp.zeros(())
    return sum(
        (l1 * jnp.sum(jnp.abs(w)) + l2 * jnp.sum(jnp.square(w)) for w in jax.tree.leaves(chosen)), zero
    )
