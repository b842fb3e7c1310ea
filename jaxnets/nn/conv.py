"""Convolutions as in Keras: cross-correlations over NHWC images with HWIO kernels."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxnets.errors import UserError, expect_sizes, whole
from jaxnets.nn.activations import Activation, activate
from jaxnets.nn.bias import add_bias, optional_bias
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.operation import operation
from jaxnets.nn.window import (
    Padding,
    Size,
    check_window,
    cropped,
    dimension_numbers,
    extent,
    padding_of,
    per_axis,
    rank_of,
)


@operation("convolve")
def _convolve(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, ...],
    padding: Padding,
    groups: int,
    dilation: tuple[int, ...],
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=dimension_numbers(len(strides)),
        feature_group_count=groups,
    )


def correlate(
    x: jax.Array,
    kernel: jax.Array,
    strides: Size = 1,
    padding: Padding = "valid",
    groups: int = 1,
    dilation: Size = 1,
) -> jax.Array:
    """Returns the cross-correlation of images with kernels, which deep learning calls convolution.

    The kernel's rank says of what: sequences (batch, time, in) with kernels (time, in/groups, out), volumes
    (batch, depth, height, width, in) with (depth, height, width, in/groups, out), and images:

    Args:
      x: Images, (batch, height, width, in).
      kernel: Kernels, (kernel height, kernel width, in/groups, out).
      strides: One number, or one for each dimension, (vertical, horizontal).
      padding: "valid" (none, output ceil((n-k+1)/s)), "same" (zeros, output ceil(n/s)) or explicit
        ((top, bottom), (left, right)), where negative numbers crop; for sequences also "causal" (zeros in
        front, so that no output depends on later inputs).
      groups: Number of groups of channels that are convolved separately.
      dilation: Distance of the pixels that neighbouring numbers of a kernel meet: one number, or one for
        each dimension. The kernel's size k above is then (k-1)*dilation + 1. Unlike in Keras, it and the
        strides may both exceed one.

    Returns:
      The output images, (batch, new height, new width, out).

    Raises:
      UserError: If x does not have the kernel's rank, its channels do not fit, or its maps are too small.
    """
    expect_sizes("strides", strides)
    expect_sizes("dilation", dilation)
    size = kernel.shape[:-2]
    rank = rank_of(size)
    dilation = per_axis(dilation, rank)
    window = extent(size, dilation)
    check_window(x, window, padding)
    if x.shape[-1] != groups * kernel.shape[-2] or kernel.shape[-1] % groups:
        raise UserError(
            f"{x.shape[-1]} channels do not fit kernels of shape {kernel.shape} in {groups} groups: these "
            f"take {groups * kernel.shape[-2]} channels and make a multiple of {groups} features"
        )
    x, padding = cropped(x, padding_of(padding, window, causal=True))
    return _convolve(x, kernel, per_axis(strides, rank), padding, groups, dilation)


class Conv(linen.Module):
    """Convolution with a trainable kernel (H, W, in/groups, features) and bias (features,); Keras's Conv2D.

    Input (batch, height, width, in), output (batch, height', width', features) in ``dtype``, or in the type
    that inputs and parameters promote to if ``dtype`` is None. Parameters are float32.

    With a ``kernel_size`` of one number in brackets, such as ``(3,)``, it is Keras's Conv1D, over sequences
    (batch, time, in); with three it is Conv3D, over volumes (batch, depth, height, width, in).

    Attributes:
      features: Number of kernels, the channels of the output.
      kernel_size: (height, width), or one number for both.
      strides, padding, groups, dilation: As in `correlate`.
      activation: Function of the output, or its name in `ACTIVATIONS`.
      use_bias: Whether a bias is added, before the activation.
      kernel_init, bias_init: Initializers, or their names in `INITIALIZERS`.
      dtype: Type of the arithmetic and the output.
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
    dilation: Size = 1
    activation: Activation = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns x correlated with the kernel, plus the bias."""
        whole("features", self.features, least=1)
        whole("groups", self.groups, least=1)
        expect_sizes("kernel_size", self.kernel_size)
        size = per_axis(self.kernel_size, rank_of(self.kernel_size))
        shape = (*size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = correlate(x, kernel, self.strides, self.padding, self.groups, self.dilation)
        return activate(self.activation, add_bias(y, bias))
