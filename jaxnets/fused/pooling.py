"""Max pooling whose gradient is elementwise: no search for the maxima, no scatter."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu.pooling import largest, to_pixels
from jaxnets.cpu.taps import Pads, Pair, pads_of
from jaxnets.nn.window import Padding


def max_pool(x: jax.Array, window: Pair, strides: Pair, padding: Padding) -> jax.Array:
    """Returns the maxima of windows over (batch, height, width, c); each gradient goes to the first maximum.

    Forward, one kernel writes the maxima, and as a byte each the place in the window that it comes from. The
    gradient needs nothing else.
    """
    return _max_pool(x, window, strides, pads_of(x, window, strides, padding))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: jax.Array, window: Pair, strides: Pair, pads: Pads) -> jax.Array:
    return largest(x, window, strides, pads)[0]


def _forward(x, window, strides, pads):
    values, which = largest(x, window, strides, pads)
    return values, (which, x.shape[1:3])


def _backward(window, strides, pads, saved, dy):
    which, size = saved
    if window == strides:
        return (_spread(window, pads, size, which, dy),)
    return (to_pixels(window, strides, pads, size, which, dy),)


_max_pool.defvjp(_forward, _backward)


def _spread(window: Pair, pads: Pads, size: Pair, which: jax.Array, dy: jax.Array) -> jax.Array:
    """The gradients at the places that they belong to, where windows do not overlap."""
    batch, rows, columns, channels = dy.shape
    shape = (batch, rows, window[0], columns, window[1], channels)
    row, column = (lax.broadcasted_iota(jnp.int8, shape, axis) for axis in (2, 4))
    own = which[:, :, None, :, None, :] == row * jnp.int8(window[1]) + column
    dx = jnp.where(own, dy[:, :, None, :, None, :], 0)
    dx = dx.reshape(batch, rows * window[0], columns * window[1], channels)
    (top, _), (left, _) = pads
    cut = [(-top, size[0] + top - dx.shape[1], 0), (-left, size[1] + left - dx.shape[2], 0)]
    return lax.pad(dx, jnp.zeros((), dx.dtype), [(0, 0, 0), *cut, (0, 0, 0)])
