"""Metrics: pure functions that give one value an example, to be summed, counted and divided once."""

import jax
import jax.numpy as jnp


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1.0 where the largest logit is the label: logits (batch, classes), labels (batch,) -> (batch,)."""
    return (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
