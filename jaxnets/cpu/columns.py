"""Convolutions of stride 1 to few features, computed as several output columns at once."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu.taps import Pads

ENOUGH = 32  # features for XLA's routine; with an odd number of channels, slow to pack, more are needed


def at_once(kernel: jax.Array) -> int:
    """Returns the fewest columns that make enough features; 1 if there are enough, or no windows overlap."""
    _, width, channels, features = kernel.shape
    least = ENOUGH + (channels % 2 == 1 < channels)
    return math.ceil(least / features) if width > 1 else 1


def convolve(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
    """Returns x (batch, height, width, c) convolved with kernel (height, width, c, features).

    A wider kernel holds a copy of the given one for every column, with zeros on both sides, and takes long
    steps. Zeros do not change the rounding of sums, so that over equal pixels all outputs are equal; but an
    infinite value in x, which times zero is nan, spoils neighbouring columns too.
    """
    width, features = kernel.shape[1], kernel.shape[-1]
    columns = x.shape[2] + sum(pads[1]) - width + 1
    least = at_once(kernel)
    together = next((count for count in range(least, 2 * least) if columns % count == 0), least)
    more = -columns % together
    shifted = [jnp.pad(kernel, ((0, 0), (i, together - 1 - i), (0, 0), (0, 0))) for i in range(together)]
    y = lax.conv_general_dilated(
        x,
        jnp.concatenate(shifted, axis=-1),
        window_strides=(1, together),
        padding=(pads[0], (pads[1][0], pads[1][1] + more)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(*y.shape[:2], columns + more, features)[:, :, :columns]
