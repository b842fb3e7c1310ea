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

from jaxnets.nn.bias import add_bias, optional_bias
from jaxnets.nn.conv import correlate
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.window import Size, check_window, padding_of, pair


def conv_transpose(x: jax.Array, kernel: jax.Array, strides: Size = 1, padding: str = "valid") -> jax.Array:
    """Returns the transposed convolution of images with kernels.

    Args:
      x: Images, (batch, height, width, in).
      kernel: Kernels, (kernel height, kernel width, out, in), Keras's layout.
      strides: Distance of neighbouring pixels of x in the output.
      padding: "valid" for height' = height*stride + max(kernel - stride, 0), "same" for height*stride.

    Returns:
      The output images, (batch, height', width', out).

    Raises:
      UserError: If x is not a batch of images, or the padding is unknown.
    """
    check_window(x, (1, 1), padding)  # any image is large enough: it grows
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_transpose(
        x, kernel, pair(strides), padding_of(padding), dimension_numbers=dims, transpose_kernel=True
    )


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
    config = [(0, 0, 0)]
    for stride, size in zip(pair(strides), pair(kernel_size), strict=True):
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
    """`conv_transpose` with a trainable kernel (H, W, features, in) and bias (features,)."""

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: str = "valid"
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, in) to (batch, height', width', features)."""
        shape = (*pair(self.kernel_size), self.features, x.shape[-1])
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return add_bias(conv_transpose(x, kernel, self.strides, self.padding), bias)
