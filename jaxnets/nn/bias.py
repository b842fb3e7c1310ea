"""The bias that dense and convolution layers have in common."""

import operator
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.nn.cpu import channelwise
from jaxnets.nn.initializers import get_initializer


def optional_bias(layer: Any, features: int) -> jax.Array | None:
    """The layer's parameter "bias" (features,), or None where it has ``use_bias=False``."""
    if not layer.use_bias:
        return None
    return layer.param("bias", get_initializer(layer.bias_init), (features,), jnp.float32)


def add_bias(y: jax.Array, bias: jax.Array | None) -> jax.Array:
    """Add one number per channel, the last axis of y; None adds nothing."""
    return y if bias is None else channelwise(operator.add, y, bias)
