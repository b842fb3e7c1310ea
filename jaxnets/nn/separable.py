"""Convolutions of every channel on its own, which need few parameters and products."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype

from jaxnets.errors import expect_sizes, whole
from jaxnets.nn.activations import Activation, activate
from jaxnets.nn.bias import add_bias, optional_bias
from jaxnets.nn.conv import correlate
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.window import Padding, Size, per_axis, rank_of


def depthwise_correlate(
    x: jax.Array, kernel: jax.Array, strides: Size = 1, padding: Padding = "valid", dilation: Size = 1
) -> jax.Array:
    """Returns the correlation of every channel separately, with M kernels each.

    Args:
      x: Images, (batch, height, width, C); sequences or volumes with kernels of their rank.
      kernel: (kernel height, kernel width, C, M), Keras's layout.
      strides: One number, or (vertical, horizontal), which may differ, unlike in TensorFlow.
      padding: Padding, as in `correlate`.
      dilation: Dilation, as in `correlate`.

    Returns:
      The output images, (batch, new height, new width, C*M); channel ``c*M + m`` is channel c correlated
      with its kernel m.
    """
    *size, channels, multiplier = kernel.shape
    kernel = kernel.reshape(*size, 1, channels * multiplier)
    return correlate(x, kernel, strides, padding, channels, dilation)


class DepthwiseConv(linen.Module):
    """`depthwise_correlate` with a trainable kernel (H, W, C, multiplier) and bias (C*multiplier,).

    It is Keras's DepthwiseConv2D; with a ``kernel_size`` such as ``(3,)``, DepthwiseConv1D. Its attributes
    are those of `Conv`, and ``multiplier``, the number of kernels for each channel.
    """

    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    multiplier: int = 1
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None
    dilation: Size = 1
    activation: Activation = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, C) to (batch, height', width', C*multiplier)."""
        whole("multiplier", self.multiplier, least=1)
        expect_sizes("kernel_size", self.kernel_size)
        shape = (*per_axis(self.kernel_size, rank_of(self.kernel_size)), x.shape[-1], self.multiplier)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, x.shape[-1] * self.multiplier)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = depthwise_correlate(x, kernel, self.strides, self.padding, self.dilation)
        return activate(self.activation, add_bias(y, bias))


class SeparableConv(linen.Module):
    """A depthwise convolution, then a 1x1 convolution that mixes its channels; Keras's SeparableConv2D.

    Params ``depthwise_kernel`` (H, W, C, multiplier), ``pointwise_kernel`` (1, 1, C*multiplier, features)
    and ``bias`` (features,). With a ``kernel_size`` such as ``(3,)`` it is Keras's SeparableConv1D.

    Its attributes are those of `Conv`, ``multiplier``, and ``depthwise_init`` and ``pointwise_init``, the
    initializers of the two kernels if they are not both ``kernel_init``.
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
    dilation: Size = 1
    activation: Activation = None
    depthwise_init: str | Initializer | None = None
    pointwise_init: str | Initializer | None = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, C) to (batch, height', width', features)."""
        whole("features", self.features, least=1)
        whole("multiplier", self.multiplier, least=1)
        expect_sizes("kernel_size", self.kernel_size)
        rank, channels = rank_of(self.kernel_size), x.shape[-1]
        shapes = {
            "depthwise": (*per_axis(self.kernel_size, rank), channels, self.multiplier),
            "pointwise": (*(1,) * rank, channels * self.multiplier, self.features),
        }
        inits = {"depthwise": self.depthwise_init, "pointwise": self.pointwise_init}
        depthwise, pointwise = (
            self.param(f"{part}_kernel", get_initializer(inits[part] or self.kernel_init), shape, jnp.float32)
            for part, shape in shapes.items()
        )
        bias = optional_bias(self, self.features)
        x, depthwise, pointwise, bias = promote_dtype(x, depthwise, pointwise, bias, dtype=self.dtype)
        x = depthwise_correlate(x, depthwise, self.strides, self.padding, self.dilation)
        return activate(self.activation, add_bias(correlate(x, pointwise), bias))
