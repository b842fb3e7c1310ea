"""Losses: pure functions of (predictions, targets) that give one float32 value an example, shape (batch,)."""

import jax
import jax.numpy as jnp


def _per_example(values: jax.Array) -> jax.Array:
    """(batch, ...) -> (batch,): the mean of everything that belongs to one example."""
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


def _at_least_float32(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean of values (batch,) where mask (batch,) is 1; 0 where nothing is left."""
    kept = jnp.where(mask > 0, values * mask, 0)  # a padded example may hold inf or nan
    return jnp.sum(kept) / jnp.maximum(jnp.sum(mask), 1)


def sparse_categorical_crossentropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """-log softmax(logits)[label]: logits (batch, ..., classes), integer labels (batch, ...) -> (batch,)."""
    log_probabilities = jax.nn.log_softmax(_at_least_float32(logits))
    picked = jnp.take_along_axis(log_probabilities, labels[..., None].astype(jnp.int32), axis=-1)
    return _per_example(-picked[..., 0])


def mean_squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """mean((predictions - targets)^2) over all but the first axis: (batch, ...) twice -> (batch,)."""
    return _per_example(jnp.square(_at_least_float32(predictions) - targets))
