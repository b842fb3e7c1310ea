"""Layers that are one matrix: Dense multiplies by it, Embedding looks its rows up."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype

from jaxnets.nn.initializers import Initializer, get_initializer


class Dense(linen.Module):
    """``x @ kernel + bias`` over the last axis: (..., in) -> (..., features); kernel (in, features)."""

    features: int
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the affine map to the last axis of x."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", get_initializer(self.bias_init), (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = x @ kernel
        return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
