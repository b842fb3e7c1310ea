"""Vectors over channels, and the sums that are their gradients."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.nn.cpu.choice import for_cpu, stored


def channelwise(function: Callable[..., jax.Array], x: jax.Array, *vectors: jax.Array) -> jax.Array:
    """Returns function(x, *vectors), elementwise in x (batch, ..., channels), each vector (channels,).

    On CPUs over rows as long as width * channels: the gradient of a vector is then a sum of long rows
    first. A sum over everything in front of the channels, of a product at that, is a scalar loop. The rows of
    a vector's numbers are stored, since looking each of them up in the vector takes longer than the sum.
    """
    if for_cpu() and x.ndim > 2:
        width, channels = x.shape[-2:]
        rows = x.reshape(-1, width * channels)
        tiled = (stored(lambda v: jnp.tile(v, (1, width)), v) for v in vectors)
        return function(rows, *tiled).reshape(x.shape)
    return function(x, *(v.reshape((1,) * (x.ndim - 1) + (-1,)) for v in vectors))


FEW_MAPS = 64  # channels; with more, storing costs as much as computing again


def with_stored_gradient(y: jax.Array) -> jax.Array:
    """Returns y (batch, ..., channels); on CPUs its gradient is computed once, however many sums use it."""
    return _with_stored_gradient(y) if for_cpu() and y.ndim > 2 and y.shape[-1] < FEW_MAPS else y


@jax.custom_vjp
def _with_stored_gradient(y: jax.Array) -> jax.Array:
    return y


# Of the identity itself XLA knows that it can do without the condition.
_with_stored_gradient.defvjp(
    lambda y: (y, None), lambda _, dy: (stored(lambda dy: jnp.where(dy == dy, dy, jnp.nan), dy),)
)
