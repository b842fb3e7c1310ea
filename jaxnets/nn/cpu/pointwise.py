"""1x1 convolutions as products of two matrices: pixels times channels, and channels times features."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.nn.cpu.taps import Pads, Pair

MANY = 2**13  # pixels, from which on a product over them is shorter in parts
PARTS = 4


def applies(kernel: jax.Array, pads: Pads) -> bool:
    """Whether this is such a convolution."""
    return kernel.shape[:2] == (1, 1) and pads == ((0, 0), (0, 0))


def convolve(x: jax.Array, kernel: jax.Array, strides: Pair) -> jax.Array:
    """Returns x (batch, height, width, c) convolved with kernel (1, 1, c, features)."""
    return _times(x[:, :: strides[0], :: strides[1]], kernel[0, 0])


def gradients(x: jax.Array, kernel: jax.Array, dy: jax.Array, strides: Pair) -> tuple[jax.Array, jax.Array]:
    """The gradients of x and kernel, from that of the output."""
    dx = _times(dy, kernel[0, 0].T)
    if strides != (1, 1):
        between = [
            (0, size - 1 - (count - 1) * stride, stride - 1)
            for size, count, stride in zip(x.shape[1:3], dy.shape[1:3], strides, strict=True)
        ]
        dx = lax.pad(dx, jnp.zeros((), dx.dtype), [(0, 0, 0), *between, (0, 0, 0)])
    return dx, _of_kernel(x[:, :: strides[0], :: strides[1]], dy)[None, None]


def _times(images: jax.Array, matrix: jax.Array) -> jax.Array:
    return (images.reshape(-1, images.shape[-1]) @ matrix).reshape(*images.shape[:3], -1)


def _of_kernel(x: jax.Array, dy: jax.Array) -> jax.Array:
    """The product over all pixels, (c, features): if they are many in parts, the fewer channels first.

    XLA turns the first matrix before it multiplies several; of a single product it decides which to turn.
    """
    if x.shape[-1] > dy.shape[-1]:
        return _of_kernel(dy, x).T
    pixels = x.size // x.shape[-1]
    parts = PARTS if pixels >= MANY and pixels % PARTS == 0 else 1
    x, dy = (images.reshape(parts, -1, images.shape[-1]) for images in (x, dy))
    return jnp.einsum("pnc,pnf->pcf", x, dy).sum(0)
