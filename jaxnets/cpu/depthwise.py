"""Depthwise convolutions of stride 1, with a separate kernel for every channel."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu.stored import stored
from jaxnets.cpu.taps import Pads, Pair, pads_of, taps_of, turned_pads
from jaxnets.nn.window import Padding


def convolve(
    x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, groups: int, dilation: Pair
) -> jax.Array:
    """Returns x (batch, height, width, c) convolved with kernel (height, width, 1, c), channel by channel."""
    return _convolve(x, kernel, pads_of(x, kernel.shape[:2], strides, padding))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
    return stored(partial(_by_shifts, pads), x, kernel)


def _by_shifts(pads: Pads, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the sum of shifted images, each times a number per channel."""
    taps = taps_of(x, kernel.shape[:2], (1, 1), pads, jnp.zeros((), x.dtype))
    numbers = kernel.reshape(-1, 1, 1, 1, kernel.shape[-1])
    return sum((seen * number for seen, number in zip(taps, numbers, strict=True)), jnp.zeros((), x.dtype))


def _forward(x, kernel, pads):
    return _convolve(x, kernel, pads), (x, kernel)


def _backward(pads, saved, dy):
    x, kernel = saved
    height, width = kernel.shape[:2]
    dx = stored(partial(_by_shifts, turned_pads(kernel, pads)), dy, kernel[::-1, ::-1])

    # Image by image: a sum over all of them at once is a scalar loop.
    def add(total: list[jax.Array], image: tuple[jax.Array, jax.Array]) -> tuple[list[jax.Array], None]:
        x, dy = image
        taps = taps_of(x[None], (height, width), (1, 1), pads, jnp.zeros((), x.dtype))
        return [some + seen[0] * dy for some, seen in zip(total, taps, strict=True)], None

    total, _ = lax.scan(add, [jnp.zeros(dy.shape[1:], dy.dtype)] * (height * width), (x, dy))
    return dx, jnp.stack([jnp.sum(some, axis=(0, 1)) for some in total]).reshape(kernel.shape)


_convolve.defvjp(_forward, _backward)
