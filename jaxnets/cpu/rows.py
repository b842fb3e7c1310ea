"""Vectors over channels, and the sums that are their gradients."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.cpu.stored import stored


def channelwise(function: Callable[..., jax.Array], x: jax.Array, *vectors: jax.Array) -> jax.Array:
    """Returns function(x, *vectors), elementwise in x (batch, ..., channels), each vector (channels,).

    Over rows as long as width * channels: the gradient of a vector is then a sum of long rows first. A sum
    over everything in front of the channels, of a product at that, is a scalar loop. The rows of a vector's
    numbers are stored, since looking each of them up in the vector takes longer than the sum.
    """
    return function(as_rows(x), *(tiled(v, x) for v in vectors)).reshape(x.shape)


def as_rows(x: jax.Array) -> jax.Array:
    """x (batch, ..., width, channels) as (-1, width * channels)."""
    return x.reshape(-1, x.shape[-2] * x.shape[-1])


def tiled(vector: jax.Array, x: jax.Array) -> jax.Array:
    """The vector (channels,) as one row of x, stored."""
    return stored(lambda vector: jnp.tile(vector, (1, x.shape[-2])), vector)


TOGETHER = 8  # rows; with 16 XLA no longer computes them in one loop


def sum_by_channel(rows: jax.Array, x: jax.Array) -> jax.Array:
    """The sum for each channel of x over rows like those of `as_rows(x)`, which need not lie in memory.

    What XLA sums up lies in memory first, as its routine for sums reads nothing else. Several rows added up
    elementwise are computed in one loop with what they are made of: an eighth is left to write and read.
    """
    together = math.gcd(TOGETHER, rows.shape[0])
    groups = rows.reshape(rows.shape[0] // together, together, rows.shape[1])
    some = sum((groups[:, i] for i in range(1, together)), groups[:, 0])
    return some.sum(0).reshape(-1, x.shape[-1]).sum(0)
