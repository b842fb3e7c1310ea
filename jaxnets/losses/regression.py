"""Losses of numbers and vectors: (predictions, targets) -> one value per example."""

import jax
import jax.numpy as jnp

from jaxnets.losses.values import EPSILON, pair, per_example


def mean_squared_error(
    predictions: jax.Array, targets: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns mean((predictions - targets)^2), both (batch, ...) -> (batch,)."""
    predictions, targets = pair(predictions, targets)
    return per_example(jnp.square(predictions - targets), weights)


def mean_absolute_error(
    predictions: jax.Array, targets: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns mean(|predictions - targets|), both (batch, ...) -> (batch,)."""
    predictions, targets = pair(predictions, targets)
    return per_example(jnp.abs(predictions - targets), weights)


def huber(
    predictions: jax.Array, targets: jax.Array, delta: float = 1.0, weights: jax.Array | None = None
) -> jax.Array:
    """Returns the mean of e^2/2 if |e| <= delta, else delta |e| - delta^2/2, (batch, ...) -> (batch,)."""
    predictions, targets = pair(predictions, targets)
    size = jnp.abs(predictions - targets)
    inner = jnp.minimum(size, delta)
    return per_example(0.5 * jnp.square(inner) + delta * (size - inner), weights)


def mean_absolute_percentage_error(
    predictions: jax.Array, targets: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns 100 mean(|predictions - targets| / max(|targets|, 1e-7)), both (batch, ...) -> (batch,)."""
    predictions, targets = pair(predictions, targets)
    return 100 * per_example(
        jnp.abs((targets - predictions) / jnp.maximum(jnp.abs(targets), EPSILON)), weights
    )


def mean_squared_logarithmic_error(
    predictions: jax.Array, targets: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns mean((log(1 + predictions) - log(1 + targets))^2), both (batch, ...) -> (batch,).

    Numbers below 1e-7 count as that, as in Keras.
    """
    logs = (jnp.log1p(jnp.maximum(numbers, EPSILON)) for numbers in pair(predictions, targets))
    return per_example(jnp.square(next(logs) - next(logs)), weights)


def log_cosh(predictions: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns mean(log(cosh(predictions - targets))), both (batch, ...) -> (batch,).

    It is about e^2/2 for small errors e and |e| - log 2 for large ones, and does not overflow.
    """
    predictions, targets = pair(predictions, targets)
    error = predictions - targets
    return per_example(error + jax.nn.softplus(-2 * error) - jnp.log(2.0).astype(error.dtype), weights)


def poisson(rates: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns mean(rates - targets log(rates + 1e-7)), both (batch, ...) -> (batch,).

    It is the negative log likelihood of counts under Poisson distributions, without its constant term.
    """
    rates, targets = pair(rates, targets)
    return per_example(rates - targets * jnp.log(rates + EPSILON), weights)


def cosine_similarity(
    predictions: jax.Array, targets: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns minus the cosine of the angle between vectors, both (batch, ..., features) -> (batch,).

    It is -1 for vectors in the same direction, to be minimized, and 0 if one of them is 0.

    Examples:
        >>> print(cosine_similarity(jnp.array([[3.0, 4.0]]), jnp.array([[6.0, 8.0]])))
        [-1.]
    """
    predictions, targets = (_unit(vectors) for vectors in pair(predictions, targets))
    return per_example(-jnp.sum(predictions * targets, axis=-1), weights)


def _unit(vectors: jax.Array) -> jax.Array:
    squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squares, EPSILON**2))


def asymmetric_cost(predictions: jax.Array, targets: jax.Array, cost: float, profit: float) -> jax.Array:
    """Returns the sum of cost (y - t) where y > t, else profit (t - y), both (batch, ...) -> (batch,).

    This is the course's loss for selling yogurt: each one too many costs `cost`, each one too few loses
    `profit`. Source: docs/results.md, row A8.
    """
    predictions, targets = pair(predictions, targets)
    excess = predictions - targets
    return jnp.sum(jnp.where(excess > 0, cost * excess, -profit * excess), axis=tuple(range(1, excess.ndim)))
