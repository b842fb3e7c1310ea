"""Convolutions as in Keras: cross-correlations over NHWC images with HWIO kernels."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxnets.nn.bias import add_bias, optional_bias
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.operation import operation
from jaxnets.nn.window import Padding, Size, check_window, padding_of, pair


@operation("convolve")
def _convolve(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: Padding, groups: int
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def correlate(
    x: jax.Array,
    kernel: jax.Array,
    strides: Size = 1,
    padding: Padding = "valid",
    groups: int = 1,
) -> jax.Array:
    """Returns the 2D cross-correlation of images with kernels, which deep learning calls convolution.

    Args:
      x: Images, (batch, height, width, in).
      kernel: Kernels, (kernel height, kernel width, in/groups, out).
      strides: One number, or (vertical, horizontal).
      padding: "valid" (none, output ceil((n-k+1)/s)), "same" (zeros, output ceil(n/s)) or explicit
        ((top, bottom), (left, right)).
      groups: Number of groups of channels that are convolved separately.

    Returns:
      The output images, (batch, new height, new width, out).

    Raises:
      UserError: If x is not a batch of images, or they are too small for the kernel.
    """
    check_window(x, (kernel.shape[0], kernel.shape[1]), padding)
    return _convolve(x, kernel, pair(strides), padding_of(padding), groups)


class Conv(linen.Module):
    """Convolution with a trainable kernel (H, W, in/groups, features) and bias (features,); Keras's Conv2D.

    Input (batch, height, width, in), output (batch, height', width', features) in ``dtype``, or in the type
    that inputs and parameters promote to if ``dtype`` is None. Parameters are float32.
    """

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    groups: int = 1
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns x correlated with the kernel, plus the bias."""
        shape = (*pair(self.kernel_size), x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return add_bias(correlate(x, kernel, self.strides, self.padding, self.groups), bias)


def depthwise_correlate(
    x: jax.Array, kernel: jax.Array, strides: Size = 1, padding: Padding = "valid"
) -> jax.Array:
    """Returns the correlation of every channel separately, with M kernels each.

    Args:
      x: Images, (batch, height, width, C).
      kernel: (kernel height, kernel width, C, M), Keras's layout.
      strides: One number, or (vertical, horizontal), which may differ, unlike in TensorFlow.
      padding: Padding, as in `correlate`.

    Returns:
      The output images, (batch, new height, new width, C*M); channel ``c*M + m`` is channel c correlated
      with its kernel m.
    """
    height, width, channels, multiplier = kernel.shape
    kernel = kernel.reshape(height, width, 1, channels * multiplier)
    return correlate(x, kernel, strides, padding, groups=channels)


class DepthwiseConv(linen.Module):
    """`depthwise_correlate` with a trainable kernel (H, W, C, multiplier) and bias (C*multiplier,)."""

    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    multiplier: int = 1
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, C) to (batch, height', width', C*multiplier)."""
        shape = (*pair(self.kernel_size), x.shape[-1], self.multiplier)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, x.shape[-1] * self.multiplier)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return add_bias(depthwise_correlate(x, kernel, self.strides, self.padding), bias)


class SeparableConv(linen.Module):
    """A depthwise convolution, then a 1x1 convolution that mixes its channels; Keras's SeparableConv2D.

    Params ``depthwise_kernel`` (H, W, C, multiplier), ``pointwise_kernel`` (1, 1, C*multiplier, features)
    and ``bias`` (features,).
    """

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    multiplier: int = 1
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, C) to (batch, height', width', features)."""
        init = get_initializer(self.kernel_init)
        channels = x.shape[-1]
        depthwise_shape = (*pair(self.kernel_size), channels, self.multiplier)
        depthwise = self.param("depthwise_kernel", init, depthwise_shape, jnp.float32)
        pointwise_shape = (1, 1, channels * self.multiplier, self.features)
        pointwise = self.param("pointwise_kernel", init, pointwise_shape, jnp.float32)
        bias = optional_bias(self, self.features)
        x, depthwise, pointwise, bias = promote_dtype(x, depthwise, pointwise, bias, dtype=self.dtype)
        x = depthwise_correlate(x, depthwise, self.strides, self.padding)
        return add_bias(correlate(x, pointwise), bias)
