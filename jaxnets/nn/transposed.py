"""Transposed convolution, which enlarges an image: the gradient of a correlation with respect to its input.

It is implemented twice: by `jax.lax`, and as a plain correlation after inserting zeros between the pixels.
Source: docs/results.md, row F8.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxnets.errors import UserError, expect_sizes, whole
from jaxnets.nn.activations import Activation, activate
from jaxnets.nn.bias import add_bias, optional_bias
from jaxnets.nn.conv import correlate
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.window import (
    Size,
    check_window,
    dimension_numbers,
    extent,
    padding_of,
    per_axis,
    rank_of,
)


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    strides: Size = 1,
    padding: str = "valid",
    output_padding: Size | None = None,
    dilation: Size = 1,
) -> jax.Array:
    """Returns the transposed convolution of images with kernels, or of what else the kernel's rank says.

    Args:
      x: Images, (batch, height, width, in).
      kernel: Kernels, (kernel height, kernel width, out, in), Keras's layout.
      strides: Distance of neighbouring pixels of x in the output.
      padding: "valid" for height' = height*stride + max(kernel - stride, 0), "same" for height*stride.
      output_padding: Which of the sizes that a convolution makes equal is meant, from 0 to stride - 1, as in
        Keras: height' = (height-1)*stride + p, where p is kernel + output_padding with "valid" and
        kernel % 2 + output_padding with "same". None for the sizes above.
      dilation: Distance of the output pixels that neighbouring numbers of a kernel reach, as in `correlate`:
        "kernel" in these sizes is then (kernel-1)*dilation + 1.

    Returns:
      The output images, (batch, height', width', out).

    Raises:
      UserError: If x does not have the kernel's rank, or the padding or the output padding is impossible.
    """
    expect_sizes("strides", strides)
    expect_sizes("dilation", dilation)
    rank = rank_of(kernel.shape[:-2])
    strides, dilation = per_axis(strides, rank), per_axis(dilation, rank)
    check_window(x, (1,) * rank, padding)  # any image is large enough: it grows
    if x.shape[-1] != kernel.shape[-1]:
        raise UserError(f"{x.shape[-1]} channels do not fit kernels of shape {kernel.shape}, (..., out, in)")
    window = extent(kernel.shape[:-2], dilation)
    more = (None,) * rank if output_padding is None else per_axis(output_padding, rank)
    pads = [_pads(*sizes, padding) for sizes in zip(window, strides, more, strict=True)]
    dims = dimension_numbers(rank)
    return lax.conv_transpose(x, kernel, strides, pads, dilation, dims, transpose_kernel=True)


def _pads(kernel: int, stride: int, more: int | None, padding: str) -> tuple[int, int]:
    """Returns the zeros before and after one dimension of the images with zeros between their pixels."""
    if more is not None and not 0 <= more < stride:
        raise UserError(f"output_padding {more}: it must be at least 0 and below the stride, {stride}")
    if not isinstance(padding, str):
        raise UserError(f'padding {padding!r}: a transposed convolution takes "valid" or "same"')
    if padding_of(padding, (kernel,)) == "VALID":
        before, both = kernel - 1, 2 * (kernel - 1) + (max(stride - kernel, 0) if more is None else more)
    else:
        both = kernel + stride - 2 if more is None else kernel + kernel % 2 - 2 + more
        before = min((both + 1) // 2, kernel - 1)
    return before, both - before


def upsample_with_zeros(x: jax.Array, strides: Size, kernel_size: Size) -> jax.Array:
    """Inserts ``stride - 1`` zeros between the pixels and pads with zeros, as input for `correlate`.

    Args:
      x: Images, (batch, height, width, c).
      strides: Distance of neighbouring pixels afterwards.
      kernel_size: Size of the kernel; the padding on each side is one less, so that each of the kernel's
        weights meets every pixel.

    Returns:
      The images, (batch, (height-1)*stride + 2*kernel - 1, ..., c), larger by ``stride - kernel`` at the far
      end if the stride exceeds the kernel.
    """
    expect_sizes("strides", strides)
    expect_sizes("kernel_size", kernel_size)
    config = [(0, 0, 0)]
    for stride, size in zip(per_axis(strides, 2), per_axis(kernel_size, 2), strict=True):
        config.append((size - 1, size - 1 + max(stride - size, 0), stride - 1))
    return lax.pad(x, jnp.zeros((), x.dtype), [*config, (0, 0, 0)])


def conv_transpose_by_upsampling(x: jax.Array, kernel: jax.Array, strides: Size = 1) -> jax.Array:
    """Returns the same numbers as `conv_transpose` ("valid"), computed from the definition.

    It inserts zeros between the pixels, then correlates with the kernel flipped in both directions, its in
    and out exchanged. It is slower, since most factors are zero, and is here for understanding.
    """
    upsampled = upsample_with_zeros(x, strides, (kernel.shape[0], kernel.shape[1]))
    return correlate(upsampled, jnp.flip(kernel, axis=(0, 1)).transpose(0, 1, 3, 2))


class ConvTranspose(linen.Module):
    """`conv_transpose` with a trainable kernel (H, W, features, in) and bias (features,).

    It is Keras's Conv2DTranspose; with a ``kernel_size`` such as ``(3,)``, Conv1DTranspose, with three
    numbers, Conv3DTranspose. Its attributes are those of `Conv`, and ``output_padding``.
    """

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: str = "valid"
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None
    output_padding: Size | None = None
    dilation: Size = 1
    activation: Activation = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, in) to (batch, height', width', features)."""
        whole("features", self.features, least=1)
        expect_sizes("kernel_size", self.kernel_size)
        size = per_axis(self.kernel_size, rank_of(self.kernel_size))
        shape = (*size, self.features, x.shape[-1])
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv_transpose(x, kernel, self.strides, self.padding, self.output_padding, self.dilation)
        return activate(self.activation, add_bias(y, bias))
