"""Layers that consist of one matrix: Dense multiplies by it, Embedding looks up its rows."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype

from jaxnets.errors import UserError, whole
from jaxnets.nn.activations import Activation, activate
from jaxnets.nn.bias import add_bias, optional_bias
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.operation import operation


@operation("multiply")
def multiply(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns x (..., in) @ kernel (in, features), (..., features)."""
    return x @ kernel


def flatten(x: jax.Array) -> jax.Array:
    """Returns x (batch, ...) as (batch, values per example); the batch may be empty."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Dense(linen.Module):
    """``activation(x @ kernel + bias)`` over the last axis: (..., in) -> (..., features).

    The activation is a function or its name in `ACTIVATIONS`; None, the default, changes nothing.
    Params ``kernel`` (in, features) and ``bias`` (features,), float32; the output is in ``dtype``, or in the
    type that inputs and parameters promote to if ``dtype`` is None.
    """

    features: int
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None
    activation: Activation = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the affine map to the last axis of x."""
        whole("features", self.features, least=1)
        if x.ndim == 0:
            raise UserError("a single number has no features: give at least one axis")
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return activate(self.activation, add_bias(multiply(x, kernel), bias))


def embedding_mask(ids: jax.Array) -> jax.Array:
    """Returns which ids are not 0, the same shape, bool: what Keras makes of ``Embedding(mask_zero=True)``.

    A mask is an argument here, given to each layer that is to heed it:

    Examples:
      >>> from jaxnets import nn
      >>> tokens = jnp.array([[4, 2, 0, 0], [3, 1, 2, 0]])  # padded with 0
      >>> mask = nn.embedding_mask(tokens)
      >>> vectors, _ = nn.Embedding(5, 8).init_with_output(jax.random.key(0), tokens)
      >>> y, _ = nn.LSTM(6).init_with_output(jax.random.key(0), vectors, mask=mask)
      >>> y.shape
      (2, 6)
    """
    return ids != 0


def masking(x: jax.Array, mask_value: float = 0.0) -> tuple[jax.Array, jax.Array]:
    """Returns x (..., time, c) with zeros where a step is ``mask_value`` throughout, and the others' mask.

    It is Keras's Masking, and the mask, (..., time), an argument of the layers that follow.

    Examples:
      >>> masking(jnp.array([[[1.0, 0.0], [0.0, 0.0]]]))[1].tolist()
      [[True, False]]
    """
    mask = jnp.any(x != mask_value, axis=-1)
    return jnp.where(mask[..., None], x, jnp.zeros_like(x)), mask


class Embedding(linen.Module):
    """A trainable vector for each of ``vocabulary`` ids: ids (...) -> vectors (..., features).

    Param ``embedding`` (vocabulary, features), drawn from uniform(-.05, .05). Floating-point ids are cast to
    int32, as in Keras; an id outside the vocabulary gives NaN rather than a wrong vector. For Keras's
    ``mask_zero`` see `embedding_mask`.
    """

    vocabulary: int
    features: int
    embedding_init: str | Initializer = "random_uniform"
    dtype: Any = None

    @linen.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        """Looks up the vectors of ids (...), (..., features)."""
        whole("vocabulary", self.vocabulary, least=1)
        whole("features", self.features, least=1)
        shape = (self.vocabulary, self.features)
        embedding = self.param("embedding", get_initializer(self.embedding_init), shape, jnp.float32)
        (embedding,) = promote_dtype(embedding, dtype=self.dtype)
        ids = ids.astype(jnp.int32)
        ids = jnp.where(ids < 0, self.vocabulary, ids)  # `take` would count them from the end
        return jnp.take(embedding, ids, axis=0, mode="fill")
