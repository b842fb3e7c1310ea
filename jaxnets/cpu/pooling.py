"""Max pooling, and its gradient."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu.stored import stored
from jaxnets.cpu.taps import Pads, Pair, pads_of, taps_of
from jaxnets.nn.window import Padding

MOST_TAPS = 25  # of a pooling window


def max_pool(x: jax.Array, window: Pair, strides: Pair, padding: Padding) -> jax.Array:
    """Returns the maxima of windows over (batch, height, width, c), with the gradient to each first maximum.

    It compares shifted images: the gradient of XLA's own routine visits all windows one by one, and JAX's
    gradient of the comparisons becomes loops that XLA does not vectorize.
    """
    return _max_pool(x, window, strides, pads_of(x, window, strides, padding))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: jax.Array, window: Pair, strides: Pair, pads: Pads) -> jax.Array:
    return largest(x, window, strides, pads)[0]


def largest(x: jax.Array, window: Pair, strides: Pair, pads: Pads) -> tuple[jax.Array, jax.Array]:
    """Returns the maxima, nan if any value is, and the place in the window of each, the first if several."""
    lowest = jnp.array(-jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min, x.dtype)
    values, *others = taps_of(x, window, strides, pads, lowest)
    which = jnp.zeros(values.shape, jnp.int8)
    for place, seen in enumerate(others, 1):
        larger = (seen > values) | (seen != seen)
        values, which = jnp.where(larger, seen, values), jnp.where(larger, jnp.int8(place), which)
    return values, which


def _max_pool_forward(x, window, strides, pads):
    values, which = largest(x, window, strides, pads)
    return values, (which, x.shape[1:3])


def _max_pool_backward(window, strides, pads, saved, dy):
    which, size = saved
    return (stored(partial(to_pixels, window, strides, pads, size), which, dy),)


def to_pixels(
    window: Pair, strides: Pair, pads: Pads, size: Pair, which: jax.Array, dy: jax.Array
) -> jax.Array:
    """Returns, for every pixel of images of this size, the sum over the windows whose maximum it is."""
    # A pixel is seen by every window in `reach` that ends there or below. Which places in a window see it
    # depends on (row % stride, column % stride) alone: pixels that share these are one image of plain sums.
    reach = [(window[axis] - 1) // strides[axis] for axis in (0, 1)]
    around = [(0, 0), *((more, more) for more in reach), (0, 0)]
    dy, which = jnp.pad(dy, around), jnp.pad(which, around, constant_values=-1)
    rows, columns = (dy.shape[axis + 1] - reach[axis] for axis in (0, 1))

    def pixels(row: int, column: int) -> jax.Array:
        total = jnp.zeros((dy.shape[0], rows, columns, dy.shape[-1]), dy.dtype)
        for i in range(row, window[0], strides[0]):
            for j in range(column, window[1], strides[1]):
                up, left = reach[0] - i // strides[0], reach[1] - j // strides[1]
                here = (slice(None), slice(up, up + rows), slice(left, left + columns))
                total += jnp.where(which[here] == i * window[1] + j, dy[here], 0)
        return total

    lines = [
        jnp.stack([pixels(row, column) for column in range(strides[1])], axis=3) for row in range(strides[0])
    ]
    dx = jnp.stack(lines, axis=2).reshape(dy.shape[0], rows * strides[0], columns * strides[1], -1)
    (top, _), (left, _) = pads
    cut = [(-top, size[0] + top - dx.shape[1], 0), (-left, size[1] + left - dx.shape[2], 0)]
    return lax.pad(dx, jnp.zeros((), dx.dtype), [(0, 0, 0), *cut, (0, 0, 0)])


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
