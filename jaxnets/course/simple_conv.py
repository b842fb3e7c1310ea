"""A convolution layer written by hand, to show what a layer is: parameters and a function.

Source: docs/results.md, row E1.
"""

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.nn.conv import correlate
from jaxnets.nn.initializers import INITIALIZERS


class SimpleConv(linen.Module):
    """``relu(correlate(x, kernel) + bias)`` without padding; Glorot uniform kernels, normal(.05) bias.

    Its fields are its configuration, read by ``dataclasses.asdict(layer)`` or ``layer.num_kernels``.

    Attributes:
      num_kernels: Channels of the output.
      kernel_size: (height, width).
      strides: (vertical, horizontal).
      use_bias: Whether a bias is added before the ReLU.
    """

    num_kernels: int = 32
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    use_bias: bool = True

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, in) to (batch, height', width', num_kernels)."""
        kernel_shape = (*self.kernel_size, x.shape[-1], self.num_kernels)
        kernel = self.param("kernel", INITIALIZERS["glorot_uniform"], kernel_shape, jnp.float32)
        z = correlate(x, kernel, self.strides, "valid")
        if self.use_bias:
            bias = self.param("bias", INITIALIZERS["random_normal"], (self.num_kernels,), jnp.float32)
            z = z + bias.reshape(1, 1, 1, -1)
        return linen.relu(z)
