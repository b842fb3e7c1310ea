"""Vectors over channels, and the sums that are their gradients."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.cpu.stored import stored


def channelwise(function: Callable[..., jax.Array], x: jax.Array, *vectors: jax.Array) -> jax.Array:
    """Returns function(x, *vectors), elementwise in x (batch, ..., channels), each vector (channels,).

    It works on rows of length width * channels, so that the gradient of a vector is first a sum of long rows:
    a sum of products over all axes before the channels is a scalar loop. The vectors are stored as such rows,
    since looking up each number in the vector takes longer than the sum.
    """
    return function(as_rows(x), *(tiled(v, x) for v in vectors)).reshape(x.shape)


def as_rows(x: jax.Array) -> jax.Array:
    """Returns x (batch, ..., width, channels) as (-1, width * channels)."""
    return x.reshape(-1, x.shape[-2] * x.shape[-1])


def tiled(vector: jax.Array, x: jax.Array) -> jax.Array:
    """Returns the vector (channels,) repeated to one row of x, stored."""
    return stored(lambda vector: jnp.tile(vector, (1, x.shape[-2])), vector)


TOGETHER = 8  # rows; with 16 XLA no longer computes them in one loop


def sum_by_channel(rows: jax.Array, x: jax.Array) -> jax.Array:
    """Returns the sum for each channel of x over rows like those of `as_rows(x)`, which need not be stored.

    XLA's routine for sums reads its input only from memory. If several rows are first added elementwise, this
    is one loop with their computation, and an eighth remains to be written and read.
    """
    together = math.gcd(TOGETHER, rows.shape[0])
    groups = rows.reshape(rows.shape[0] // together, together, rows.shape[1])
    some = sum((groups[:, i] for i in range(1, together)), groups[:, 0])
    return some.sum(0).reshape(-1, x.shape[-1]).sum(0)
