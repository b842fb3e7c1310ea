"""What all losses share: one value per example, its weights, and the reduction of all to one number."""

from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.errors import UserError

EPSILON = 1e-7  # keras.config.epsilon()


class Weighted(NamedTuple):
    """Values of a loss that are divided by a weight of their own instead of the number of examples.

    The loss of a batch is sum(values) / sum(weights), and a training step adds up both over its devices.

    Attributes:
        values: What every example adds to the sum, (batch,).
        weights: How much of every example counts, such as a fraction of its positions, (batch,).
    """

    values: jax.Array
    weights: jax.Array


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean, (), of values (batch,) where mask (batch,) is 1; 0 if that is nowhere.

    Masked values may be anything, nan included.
    """
    kept = jnp.where(mask > 0, values, 0) * mask
    total = jnp.sum(mask)
    return jnp.sum(kept) / jnp.where(total > 0, total, 1)


def _by_count(values: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(values * weights) / max(values.size, 1)


REDUCTIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "sum_over_batch_size": _by_count,
    "mean_with_sample_weight": lambda values, weights: jnp.sum(values * weights) / _nonzero(jnp.sum(weights)),
    "sum": lambda values, weights: jnp.sum(values * weights),
    "none": jnp.multiply,
}


def reduce(
    values: jax.Array | Weighted, weights: jax.Array | None = None, reduction: str = "sum_over_batch_size"
) -> jax.Array:
    """Returns values times weights, reduced as Keras's losses with this `reduction` are.

    Args:
        values: Values of a loss, (batch,) or of any shape.
        weights: Weights of their first axes, such as (batch,). By default 1 for all.
        reduction: "sum_over_batch_size", the weighted sum over the number of values, which does not depend on
            the weights; "mean_with_sample_weight", over the sum of the weights; "sum"; or "none".

    Raises:
        UserError: If the weights do not fit the values, or the reduction has another name.

    Examples:
        >>> values, weights = jnp.array([1.0, 3.0]), jnp.array([2.0, 0.0])
        >>> [float(reduce(values, weights, name)) for name in list(REDUCTIONS)[:3]]
        [1.0, 1.0, 2.0]
    """
    if reduction not in REDUCTIONS:
        raise UserError(f"reduction {reduction!r}: it must be one of {', '.join(REDUCTIONS)}")
    if isinstance(values, Weighted):
        kept = values.values if weights is None else values.values * broadcast(weights, values.values)
        if reduction in ("sum", "none"):
            return REDUCTIONS[reduction](kept, jnp.ones_like(kept))
        return jnp.sum(kept) / _nonzero(jnp.sum(values.weights))
    weights = jnp.ones_like(values) if weights is None else broadcast(weights, values)
    return REDUCTIONS[reduction](values, jnp.broadcast_to(weights, values.shape))


def _nonzero(total: jax.Array) -> jax.Array:
    return jnp.where(total == 0, 1, total)


def real(x: jax.Array) -> jax.Array:
    """Returns x as at least float32: bfloat16 has too few digits for a loss."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def pair(predictions: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns both as at least float32; refuses unequal shapes, which would broadcast to all pairs."""
    predictions, targets = real(predictions), real(targets)
    if predictions.shape != targets.shape:
        raise UserError(
            f"predictions have shape {predictions.shape} and targets {targets.shape}: they must be the same"
        )
    return predictions, targets


def broadcast(weights: jax.Array, values: jax.Array) -> jax.Array:
    """Returns weights of the first axes of the values with as many axes as these; refuses any others."""
    weights = real(weights)
    shape = weights.shape + (1,) * (values.ndim - weights.ndim)
    if len(shape) != values.ndim or any(
        given not in (1, size) for given, size in zip(shape, values.shape, strict=True)
    ):
        raise UserError(
            f"weights of shape {weights.shape} do not fit values of shape {values.shape}: there must be one "
            "for every example, or for every position of every example"
        )
    return weights.reshape(shape)


def per_example(values: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns each example's mean of values times weights over its positions, (batch, ...) -> (batch,)."""
    if weights is not None:
        values = values * broadcast(weights, values)
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


def clip(probabilities: jax.Array) -> jax.Array:
    """Returns probabilities in [1e-7, 1 - 1e-7], whose logarithm is finite."""
    return jnp.clip(probabilities, EPSILON, 1 - EPSILON)


def weigh(
    loss: Callable[..., Any], outputs: Any, targets: Any, weights: Any | None = None
) -> jax.Array | Weighted:
    """Returns the values of a loss, times the weights of the examples or of their positions.

    Args:
        loss: (outputs, targets) -> (batch,), with a keyword `weights` if there are weights of positions.
        outputs: The network's outputs, (batch, ...).
        targets: What the loss compares them with.
        weights: (batch,); or (batch, ...) or a dict of heads, passed on to the loss. By default 1 for all.

    Raises:
        UserError: If there are weights of positions, and the loss has no keyword for them.
    """
    if weights is None:
        return loss(outputs, targets)
    if getattr(weights, "ndim", None) == 1:
        values = loss(outputs, targets)
        if isinstance(values, Weighted):
            return Weighted(values.values * weights, values.weights)
        return values * weights
    if "weights" not in signature(loss).parameters:
        raise UserError(
            f"weights of shape {jnp.shape(weights)}: this loss takes one weight per example, (batch,), since "
            "it has no argument `weights` for those of positions"
        )
    return loss(outputs, targets, weights=weights)
