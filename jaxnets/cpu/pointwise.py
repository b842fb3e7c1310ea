"""The gradients of 1x1 convolutions as products of two matrices.

The convolution itself is XLA's: as a product it would round unlike Keras's, which shows at ReLUs in deep
networks.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu.taps import Pads, Pair

FEW = 64  # channels or features below which XLA's convolution is as fast and suits its surroundings better
MANY = 2**12  # pixels from which a product over them is faster in parts
PARTS = 2


def pays(kernel: jax.Array, pads: Pads) -> bool:
    """Returns whether this is a 1x1 convolution of many channels."""
    return kernel.shape[:2] == (1, 1) and min(kernel.shape[2:]) >= FEW and pads == ((0, 0), (0, 0))


def input_gradient(x: jax.Array, kernel: jax.Array, dy: jax.Array, strides: Pair) -> jax.Array:
    """Returns the gradient of x, given that of the output."""
    dx = (dy.reshape(-1, dy.shape[-1]) @ kernel[0, 0].T).reshape(*dy.shape[:3], -1)
    if strides == (1, 1):
        return dx
    between = [
        (0, size - 1 - (count - 1) * stride, stride - 1)
        for size, count, stride in zip(x.shape[1:3], dy.shape[1:3], strides, strict=True)
    ]
    return lax.pad(dx, jnp.zeros((), dx.dtype), [(0, 0, 0), *between, (0, 0, 0)])


def kernel_gradient(seen: jax.Array, dy: jax.Array) -> jax.Array:
    """Returns the gradient of a 1x1 kernel, (c, features), from the pixels it saw and the output's gradient.

    The product over many pixels is taken in parts, the factor with fewer channels first: XLA transposes the
    first matrix before it multiplies several pairs; for a single product it chooses which to transpose.
    """
    if seen.shape[-1] > dy.shape[-1]:
        return kernel_gradient(dy, seen).T
    pixels = seen.size // seen.shape[-1]
    parts = PARTS if pixels >= MANY and pixels % PARTS == 0 else 1
    seen, dy = (images.reshape(parts, -1, images.shape[-1]) for images in (seen, dy))
    return jnp.einsum("pnc,pnf->pcf", seen, dy).sum(0)
