"""Channelwise functions, and the bias that dense and convolution layers have in common."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.nn.initializers import get_initializer
from jaxnets.nn.operation import operation


@operation("channelwise")
def channelwise(function: Callable[..., jax.Array], x: jax.Array, *vectors: jax.Array) -> jax.Array:
    """Returns function(x, *vectors), elementwise in x (batch, ..., channels), each vector (channels,)."""
    return function(x, *(v.reshape((1,) * (x.ndim - 1) + (-1,)) for v in vectors))


def optional_bias(layer: Any, features: int) -> jax.Array | None:
    """Returns the layer's parameter "bias" (features,), or None with ``use_bias=False``."""
    if not layer.use_bias:
        return None
    return layer.param("bias", get_initializer(layer.bias_init), (features,), jnp.float32)


def add_bias(y: jax.Array, bias: jax.Array | None) -> jax.Array:
    """Returns y plus one number per channel, its last axis; None adds nothing."""
    return y if bias is None else channelwise(operator.add, y, bias)
