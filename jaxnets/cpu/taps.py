"""The values that each place of a sliding window sees, as shifted images."""

from collections.abc import Sequence

import jax
from jax import lax

from jaxnets.nn.window import Padding

Pads = Sequence[tuple[int, int]]
Pair = tuple[int, int]


def pads_of(x: jax.Array, window: Sequence[int], strides: Pair, padding: Padding) -> Pads:
    """Returns the rows above and below and the columns left and right that a padding adds."""
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    (top, bottom), (left, right) = padding
    return (top, bottom), (left, right)  # tuples, since a custom gradient needs hashable arguments


def turned_pads(kernel: jax.Array, pads: Pads) -> Pads:
    """Returns the padding with which a convolution by the flipped kernel is the gradient of the input."""
    (top, bottom), (left, right) = pads
    height, width = kernel.shape[0] - 1, kernel.shape[1] - 1
    return (height - top, height - bottom), (width - left, width - right)


def taps_of(
    x: jax.Array, window: Sequence[int], strides: Pair, pads: Pads, fill: jax.Array
) -> list[jax.Array]:
    """Returns what every place in the window sees, (batch, height', width', c) each, row by row."""
    x = lax.pad(x, fill, [(0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)])
    height, width = ((x.shape[axis + 1] - window[axis]) // strides[axis] for axis in (0, 1))
    return [
        x[:, i : i + height * strides[0] + 1 : strides[0], j : j + width * strides[1] + 1 : strides[1]]
        for i in range(window[0])
        for j in range(window[1])
    ]
