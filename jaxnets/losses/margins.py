"""Losses of scores that should lie beyond a margin, as support vector machines minimize them."""

import jax
import jax.numpy as jnp

from jaxnets.losses.values import pair, per_example


def _margin(scores: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns max(0, 1 - t y) for targets -1 and 1; 0 counts as -1, so that labels may be 0 and 1."""
    scores, targets = pair(scores, targets)
    return jnp.maximum(1 - jnp.where(targets == 0, -1, targets) * scores, 0)


def hinge(scores: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns mean(max(0, 1 - targets scores)), both (batch, ...) -> (batch,).

    Targets are -1 and 1, or 0 and 1.
    """
    return per_example(_margin(scores, targets), weights)


def squared_hinge(scores: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns mean(max(0, 1 - targets scores)^2), (batch, ...) -> (batch,); targets as in `hinge`."""
    return per_example(jnp.square(_margin(scores, targets)), weights)


def categorical_hinge(scores: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns max(0, 1 + the largest other score - the target's), both (batch, ..., classes) -> (batch,).

    Targets are one-hot. The largest is that of (1 - targets) scores, so at least 0, as in Keras.
    """
    scores, targets = pair(scores, targets)
    own, other = jnp.sum(targets * scores, axis=-1), jnp.max((1 - targets) * scores, axis=-1)
    return per_example(jnp.maximum(1 + other - own, 0), weights)
