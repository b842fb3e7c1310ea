"""What XLA compiles badly on CPUs, written so that it does not; chosen here alone, by backend and shape.

Each function has the plain formulation beside it, which other backends take and which the tests hold it
against. Numbers: docs/speed.md.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen
from jax import lax

from jaxnets.nn.window import Padding

Pads = Sequence[tuple[int, int]]
Pair = tuple[int, int]

_plain = ContextVar("plain", default=False)


@contextmanager
def plain_operations() -> Iterator[None]:
    """Inside this context layers are traced in the plain formulation that suits every backend.

    For programs that run elsewhere (exports), and for forward-mode derivatives (`jax.jvp`) of convolutions
    and max pooling, which do not go through a gradient written by hand.
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def _for_cpu() -> bool:
    return jax.default_backend() == "cpu" and not _plain.get()


def channelwise(function: Callable[..., jax.Array], x: jax.Array, *vectors: jax.Array) -> jax.Array:
    """Returns function(x, *vectors), elementwise in x (batch, ..., channels), each vector (channels,).

    On CPUs over rows as long as width * channels: the gradient of a vector is then a sum of long rows
    first. A sum over everything in front of the channels, of a product at that, is a scalar loop.
    """
    if _for_cpu() and x.ndim > 2:
        width, channels = x.shape[-2:]
        rows = x.reshape(-1, width * channels)
        return function(rows, *(jnp.tile(v, width).reshape(1, -1) for v in vectors)).reshape(x.shape)
    return function(x, *(v.reshape((1,) * (x.ndim - 1) + (-1,)) for v in vectors))


def _stored(function: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """Returns function(*arrays), computed once.

    XLA computes a long elementwise function again in every loop that uses its result, unless it stands behind
    a condition. This one XLA cannot foresee, and it makes no difference.
    """
    if arrays[-1].size == 0:
        return function(*arrays)
    number = lax.slice(arrays[-1].reshape(-1), (0,), (1,)).reshape(())
    return lax.cond(number < jnp.inf, function, function, *arrays)


FEW_MAPS = 64  # channels; with more, storing costs as much as computing again


def with_stored_gradient(y: jax.Array) -> jax.Array:
    """Returns y (batch, ..., channels); on CPUs its gradient is computed once, however many sums use it."""
    return _with_stored_gradient(y) if _for_cpu() and y.ndim > 2 and y.shape[-1] < FEW_MAPS else y


@jax.custom_vjp
def _with_stored_gradient(y: jax.Array) -> jax.Array:
    return y


# Of the identity itself XLA knows that it can do without the condition.
_with_stored_gradient.defvjp(
    lambda y: (y, None), lambda _, dy: (_stored(lambda dy: jnp.where(dy == dy, dy, jnp.nan), dy),)
)


MOST_TAPS = 25  # of a pooling window


def max_pool(x: jax.Array, window: Pair, strides: Pair, padding: Padding) -> jax.Array:
    """Maxima of windows over (batch, height, width, c); the gradient goes to the first maximum of a window.

    On CPUs by comparing shifted images: the gradient of XLA's own walks over all windows one by one, and that
    of the comparisons, left to JAX, becomes loops that XLA does not vectorise.
    """
    if not (_for_cpu() and math.prod(window) <= MOST_TAPS):
        # By keyword: the ONNX converter replaces this function by one that takes nothing else.
        return linen.max_pool(x, window_shape=window, strides=strides, padding=padding)
    return _max_pool(x, window, strides, _pads(x, window, strides, padding))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: jax.Array, window: Pair, strides: Pair, pads: Pads) -> jax.Array:
    return _largest(x, window, strides, pads)[0]


def _largest(x: jax.Array, window: Pair, strides: Pair, pads: Pads) -> tuple[jax.Array, jax.Array]:
    """The maxima, nan where one is nan, and which place in the window held them, the first if several did."""
    lowest = jnp.array(-jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min, x.dtype)
    values, *others = _taps(x, window, strides, pads, lowest)
    which = jnp.zeros(values.shape, jnp.int8)
    for place, seen in enumerate(others, 1):
        larger = (seen > values) | (seen != seen)
        values, which = jnp.where(larger, seen, values), jnp.where(larger, jnp.int8(place), which)
    return values, which


def _max_pool_forward(x, window, strides, pads):
    values, which = _largest(x, window, strides, pads)
    return values, (which, x.shape[1:3])


def _max_pool_backward(window, strides, pads, saved, dy):
    which, size = saved
    return (_stored(partial(_to_pixels, window, strides, pads, size), which, dy),)


def _to_pixels(
    window: Pair, strides: Pair, pads: Pads, size: Pair, which: jax.Array, dy: jax.Array
) -> jax.Array:
    """The sum, for every pixel of images of this size, over the windows whose maximum it is."""
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


def _pads(x: jax.Array, window: Sequence[int], strides: Pair, padding: Padding) -> Pads:
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    (top, bottom), (left, right) = padding
    return (top, bottom), (left, right)  # tuples, as what a gradient is written for must be


def _taps(x: jax.Array, window: Sequence[int], strides: Pair, pads: Pads, fill: jax.Array) -> list[jax.Array]:
    """Of every place in the window what it sees, (batch, height', width', c) each, row by row."""
    x = lax.pad(x, fill, [(0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)])
    height, width = ((x.shape[axis + 1] - window[axis]) // strides[axis] for axis in (0, 1))
    if tuple(strides) == tuple(window):
        # The same by a reshape, whose gradient is no scattering over every other pixel.
        x = x[:, : (height + 1) * window[0], : (width + 1) * window[1]]
        x = x.reshape(x.shape[0], height + 1, window[0], width + 1, window[1], x.shape[-1])
        return [x[:, :, i, :, j] for i in range(window[0]) for j in range(window[1])]
    return [
        x[:, i : i + height * strides[0] + 1 : strides[0], j : j + width * strides[1] + 1 : strides[1]]
        for i in range(window[0])
        for j in range(window[1])
    ]


FEW = 16  # channels that do not fill a vector register
MOST_SHIFTS = 75  # numbers that make one pixel of the output: 5x5 of three colours
MOST_BAND = 7  # times the kernel's width may the image's be: the band matrix is that much larger
FITS = 2**20  # bytes of the output's gradient that XLA's gradient of a kernel takes well in one piece
PIECE = 2**19  # bytes of a piece otherwise: what stays in a core's cache
MOST_PIECES = 32  # each is compiled on its own


def convolve(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, groups: int) -> jax.Array:
    """`lax.conv_general_dilated` of NHWC images with an HWIO kernel.

    XLA's routines for CPUs want many channels. From few to few, as in first layers, shifted images are
    added up. The gradient of an input of few comes by rows times one matrix, a band of copies of the
    kernel. Images smaller than the kernel take a scalar loop: they become patches times a matrix. The
    gradient of the kernel comes in pieces: XLA makes one convolution of it whose "kernel" is the whole
    gradient of the output, read from memory for every few numbers of the result.
    """
    if _for_cpu() and groups == 1 and x.dtype == kernel.dtype == jnp.float32:
        return _convolve(x, kernel, strides, padding)
    return _plain_convolve(x, kernel, strides, padding, groups)


def _plain_convolve(
    x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding, groups: int = 1
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: jax.Array, kernel: jax.Array, strides: Pair, padding: Padding) -> jax.Array:
    # No bands here: their sums round differently from place to place. On flat ground, such as the background
    # of digits, all outputs must be equal, or max pooling sends its gradient elsewhere than Keras's does.
    pads = _pads(x, kernel.shape[:2], strides, padding)
    if _is_small(x, kernel):
        return _by_patches(x, kernel, strides, pads)
    if kernel.shape[-1] < FEW and kernel[..., 0].size <= MOST_SHIFTS and strides == (1, 1):
        return _stored(partial(_by_shifts, pads), x, kernel)
    return _plain_convolve(x, kernel, strides, pads)


def _forward(x, kernel, strides, padding):
    return _convolve(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, saved, dy):
    x, kernel = saved
    pads = _pads(x, kernel.shape[:2], strides, padding)
    formulation = _for_inputs(x, kernel)
    (dx,) = jax.vjp(lambda x: formulation(x, kernel, strides, pads), x)[1](dy)
    return dx, _kernel_gradient(x, kernel, dy, strides, pads)


_convolve.defvjp(_forward, _backward)


def _is_small(x: jax.Array, kernel: jax.Array) -> bool:
    return x.shape[1] < kernel.shape[0] or x.shape[2] < kernel.shape[1]


def _for_inputs(x: jax.Array, kernel: jax.Array) -> Callable[..., jax.Array]:
    """The formulation whose gradient of the input is the fastest."""
    _, width, channels, _ = kernel.shape
    if _is_small(x, kernel):
        return _by_patches
    if 1 < channels < FEW and width > 1 and x.shape[2] <= MOST_BAND * width:
        return _by_bands
    return _plain_convolve


def _by_shifts(pads: Pads, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution of stride 1 as a sum of shifted images, each times a number for every feature."""
    taps = _taps(x, kernel.shape[:2], (1, 1), pads, jnp.zeros((), x.dtype))
    numbers = kernel.reshape(len(taps), x.shape[-1], 1, 1, 1, -1)
    terms = [
        seen[..., [c]] * row[c] for seen, row in zip(taps, numbers, strict=True) for c in range(x.shape[-1])
    ]
    return sum(terms[1:], terms[0])


def _by_patches(x: jax.Array, kernel: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    """The convolution as patches (batch * height' * width', size of a kernel) times one matrix."""
    taps = _taps(x, kernel.shape[:2], strides, pads, jnp.zeros((), x.dtype))
    patches = jnp.concatenate(taps, -1)
    y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return y.reshape(*patches.shape[:3], -1)


def _by_bands(x: jax.Array, kernel: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    """The convolution as rows (batch * height', kernel height * width * channels) times one matrix."""
    height, width, _, features = kernel.shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    batch, rows, columns, _ = x.shape
    new_height, new_width = (rows - height) // strides[0] + 1, (columns - width) // strides[1] + 1
    place = jnp.arange(columns).reshape(-1, 1) - strides[1] * jnp.arange(new_width).reshape(1, -1)
    inside = ((place >= 0) & (place < width)).reshape(1, columns, new_width, 1, 1)
    band = jnp.where(inside, kernel[:, jnp.clip(place, 0, width - 1)], 0)
    band = band.transpose(0, 1, 3, 2, 4).reshape(-1, new_width * features)
    seen = [x[:, i : i + (new_height - 1) * strides[0] + 1 : strides[0]] for i in range(height)]
    lines = jnp.stack(seen, axis=2).reshape(batch * new_height, -1)
    return (lines @ band).reshape(batch, new_height, new_width, features)


def _kernel_gradient(x: jax.Array, kernel: jax.Array, dy: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    size = kernel.shape[:2]
    if size == (1, 1):
        (seen,) = _taps(x, size, strides, pads, jnp.zeros((), x.dtype))
        product = jnp.einsum("nc,nd->cd", seen.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1]))
        return product.reshape(kernel.shape)
    total = dy.size * dy.dtype.itemsize
    height = dy.shape[1]
    pieces = min(math.ceil(total / PIECE), height) if FITS < total <= MOST_PIECES * PIECE else 1
    rows = math.ceil(height / pieces)
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    gradient = jnp.zeros_like(kernel)
    for start in range(0, height, rows):
        some = dy[:, start : start + rows]
        seen = x[:, start * strides[0] : (start + some.shape[1] - 1) * strides[0] + size[0]]
        apply = partial(_plain_convolve, seen, strides=strides, padding=((0, 0), (0, 0)))
        gradient += jax.vjp(lambda kernel, apply=apply: apply(kernel), kernel)[1](some)[0]
    return gradient
