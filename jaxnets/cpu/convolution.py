"""Convolutions, and their gradients."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu import columns, pointwise, winograd
from jaxnets.cpu.stored import stored
from jaxnets.cpu.taps import Pads, Pair, pads_of, taps_of, turned_pads
from jaxnets.nn.window import Padding

FEW = 16  # channels that do not fill a vector register
MOST_SHIFTS = 27  # numbers that make one pixel of the output: 3x3 of three colours
MOST_BAND = 7  # times the kernel's width may the image's be: the band matrix is that much larger
PIECE = 2**19  # bytes of the output's gradient that stay in a core's cache
FEW_PIECES = 8  # so few hold some rows of all images; more hold some images
MOST_PIECES = 96  # each is compiled separately


def convolve(
    x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, groups: int = 1, dilation: Pair = (1, 1)
) -> jax.Array:
    """Returns `lax.conv_general_dilated` of NHWC images with an HWIO kernel, float32, without groups or gaps.

    XLA's routines for CPUs need many channels. From few channels to few, as in first layers, shifted images
    are added up; if these are many, several output columns are computed at once, as more features. The
    gradient of an input with few channels is computed as rows times one matrix, a band of copies of the
    kernel. For images smaller than the kernel XLA runs a scalar loop: here they become patches times a
    matrix. The gradient of the kernel is computed in pieces: XLA makes it one convolution whose "kernel" is
    the whole gradient of the output, read from memory for every few numbers of the result. The pieces are
    also spread over the cores.

    A value that is not finite spoils outputs beside those whose windows hold it (docs/developing/speed.md).
    """
    return _convolve(x, kernel, strides, padding)


def _plain_convolve(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding) -> jax.Array:
    # No bands here: their sums round differently from place to place. Over equal pixels, such as the
    # background of digits, all outputs must be equal, or max pooling sends its gradient elsewhere than Keras.
    pads = pads_of(x, kernel.shape[:2], strides, padding)
    if _is_small(x, kernel):
        return _by_patches(x, kernel, strides, pads)
    if kernel.shape[-1] < FEW and kernel[..., 0].size <= MOST_SHIFTS and strides == (1, 1):
        return stored(partial(_by_shifts, pads), x, kernel)
    if strides == (1, 1) and columns.at_once(kernel) > 1:
        return columns.convolve(x, kernel, pads)
    if winograd.pays(x, kernel, strides, pads):
        return winograd.convolve(x, kernel, pads)
    return _plain_convolve(x, kernel, strides, pads)


def _forward(x, kernel, strides, padding):
    return _convolve(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, saved, dy):
    x, kernel = saved
    pads = pads_of(x, kernel.shape[:2], strides, padding)
    if winograd.pays(x, kernel, strides, pads):
        return winograd.gradients(x, kernel, dy, pads)
    return _input_gradient(x, kernel, dy, strides, pads), _kernel_gradient(x, kernel, dy, strides, pads)


_convolve.defvjp(_forward, _backward)


def _is_small(x: jax.Array, kernel: jax.Array) -> bool:
    return x.shape[1] < kernel.shape[0] or x.shape[2] < kernel.shape[1]


def _input_gradient(x: jax.Array, kernel: jax.Array, dy: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    _, width, channels, _ = kernel.shape
    formulation: Callable[..., jax.Array] = _plain_convolve
    if pointwise.pays(kernel, pads):
        return pointwise.input_gradient(x, kernel, dy, strides)
    if _is_small(x, kernel):
        formulation = _by_patches
    elif 1 < channels < FEW and width > 1 and x.shape[2] <= MOST_BAND * width:
        formulation = _by_bands
    elif strides == (1, 1) and columns.at_once(turned := kernel[::-1, ::-1].swapaxes(2, 3)) > 1:
        return columns.convolve(dy, turned, turned_pads(kernel, pads))
    return jax.vjp(lambda x: formulation(x, kernel, strides, pads), x)[1](dy)[0]


def _by_shifts(pads: Pads, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns a convolution of stride 1 as a sum of shifted images, each times a number per feature."""
    taps = taps_of(x, kernel.shape[:2], (1, 1), pads, jnp.zeros((), x.dtype))
    numbers = kernel.reshape(len(taps), x.shape[-1], 1, 1, 1, -1)
    pairs = zip(taps, numbers, strict=True)
    terms = [seen[..., c : c + 1] * row[c] for seen, row in pairs for c in range(x.shape[-1])]
    return sum(terms[1:], terms[0])


def _by_patches(x: jax.Array, kernel: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    """Returns a convolution as patches (batch * height' * width', size of a kernel) times one matrix."""
    taps = taps_of(x, kernel.shape[:2], strides, pads, jnp.zeros((), x.dtype))
    patches = jnp.concatenate(taps, -1)
    y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return y.reshape(*patches.shape[:3], -1)


def _by_bands(x: jax.Array, kernel: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    """Returns a convolution as rows (batch * height', kernel height * width * channels) times one matrix."""
    height, width, _, features = kernel.shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    batch, old_height, old_width, _ = x.shape
    new_height, new_width = (old_height - height) // strides[0] + 1, (old_width - width) // strides[1] + 1
    place = jnp.arange(old_width).reshape(-1, 1) - strides[1] * jnp.arange(new_width).reshape(1, -1)
    inside = ((place >= 0) & (place < width)).reshape(1, old_width, new_width, 1, 1)
    band = jnp.where(inside, kernel[:, jnp.clip(place, 0, width - 1)], 0)
    band = band.transpose(0, 1, 3, 2, 4).reshape(-1, new_width * features)
    seen = [x[:, i : i + (new_height - 1) * strides[0] + 1 : strides[0]] for i in range(height)]
    lines = jnp.stack(seen, axis=2).reshape(batch * new_height, -1)
    return (lines @ band).reshape(batch, new_height, new_width, features)


def _kernel_gradient(x: jax.Array, kernel: jax.Array, dy: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    size = kernel.shape[:2]
    if size == (1, 1):
        (seen,) = taps_of(x, size, strides, pads, jnp.zeros((), x.dtype))
        return pointwise.kernel_gradient(seen, dy)[None, None]
    batch, height = dy.shape[:2]
    pieces = min(max(math.ceil(dy.size * dy.dtype.itemsize / PIECE), 1), MOST_PIECES)
    groups = min(pieces, batch) if pieces > FEW_PIECES else 1  # of images; and of their rows
    images, rows = math.ceil(batch / groups), math.ceil(height / min(math.ceil(pieces / groups), height))
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    gradient = jnp.zeros_like(kernel)
    for first, start in itertools.product(range(0, batch, images), range(0, height, rows)):
        some = dy[first : first + images, start : start + rows]
        end = (start + some.shape[1] - 1) * strides[0] + size[0]
        seen = x[first : first + images, start * strides[0] : end]
        apply = partial(_plain_convolve, seen, strides=strides, padding=((0, 0), (0, 0)))
        gradient += jax.vjp(lambda kernel, apply=apply: apply(kernel), kernel)[1](some)[0]
    return gradient
