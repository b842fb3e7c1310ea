"""Convolutions as Keras computes them: cross-correlations over NHWC images with HWIO kernels."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxnets.errors import UserError
from jaxnets.nn.initializers import Initializer, get_initializer

Padding = str | Sequence[tuple[int, int]]


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """One number stands for both height and width."""
    return (size, size) if isinstance(size, int) else size


def padding_of(padding: Padding) -> Padding:
    """ "valid", "same" or ((top, bottom), (left, right)) in the form XLA takes."""
    if not isinstance(padding, str):
        return padding
    if padding.lower() not in ("valid", "same"):
        raise UserError(f'padding {padding!r} is unknown: give "valid", "same" or explicit pairs of numbers')
    return padding.upper()


def correlate(
    x: jax.Array,
    kernel: jax.Array,
    strides: int | tuple[int, int] = 1,
    padding: Padding = "valid",
    groups: int = 1,
) -> jax.Array:
    """Two-dimensional cross-correlation of images with given kernels; what deep learning calls convolution.

    Args:
      x: images, (batch, height, width, in).
      kernel: (kernel height, kernel width, in/groups, out).
      strides: one number, or (vertical, horizontal).
      padding: "valid" (none, output ceil((n-k+1)/s)), "same" (zeros, output ceil(n/s)) or explicit
        ((top, bottom), (left, right)).
      groups: the channels are split into this many groups that do not see each other.

    Returns:
      (batch, new height, new width, out).
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=pair(strides),
        padding=padding_of(padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


class Conv(linen.Module):
    """Convolution with a trainable kernel (H, W, in/groups, features) and bias (features,); Keras's Conv2D.

    Input (batch, height, width, in), output (batch, height', width', features) in ``dtype``, or in the type
    that inputs and parameters promote to where ``dtype`` is None. Parameters are float32.
    """

    features: int
    kernel_size: int | tuple[int, int]
    strides: int | tuple[int, int] = 1
    padding: Padding = "valid"
    groups: int = 1
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Correlate x with the kernel and add the bias."""
        shape = (*pair(self.kernel_size), x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", get_initializer(self.bias_init), (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = correlate(x, kernel, self.strides, self.padding, self.groups)
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)
