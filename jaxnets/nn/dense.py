"""Layers that consist of one matrix: Dense multiplies by it, Embedding looks up its rows."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype

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
    """``x @ kernel + bias`` over the last axis: (..., in) -> (..., features).

    Params ``kernel`` (in, features) and ``bias`` (features,), float32; the output is in ``dtype``, or in the
    type that inputs and parameters promote to if ``dtype`` is None.
    """

    features: int
    use_bias: bool = True
    kernel_init: str | Initializer = "glorot_uniform"
    bias_init: str | Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the affine map to the last axis of x."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", get_initializer(self.kernel_init), shape, jnp.float32)
        bias = optional_bias(self, self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return add_bias(multiply(x, kernel), bias)


class Embedding(linen.Module):
    """A trainable vector for each of ``vocabulary`` ids: ids (...) -> vectors (..., features).

    Param ``embedding`` (vocabulary, features), drawn from uniform(-.05, .05). Floating-point ids are cast to
    int32, as in Keras; an id outside the vocabulary gives NaN rather than a wrong vector.
    """

    vocabulary: int
    features: int
    embedding_init: str | Initializer = "random_uniform"
    dtype: Any = None

    @linen.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        """Looks up the vectors of ids (...), (..., features)."""
        shape = (self.vocabulary, self.features)
        embedding = self.param("embedding", get_initializer(self.embedding_init), shape, jnp.float32)
        (embedding,) = promote_dtype(embedding, dtype=self.dtype)
        ids = ids.astype(jnp.int32)
        ids = jnp.where(ids < 0, self.vocabulary, ids)  # `take` would count them from the end
        return jnp.take(embedding, ids, axis=0, mode="fill")
