"""Losses of whole distributions, regions and sequences, which are no means over positions."""

import jax
import jax.numpy as jnp
import optax

from jaxnets.errors import UserError
from jaxnets.losses.values import EPSILON, pair, per_example, real


def kl_divergence(logits: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns sum(targets (log(targets) - log softmax(logits))), both (batch, ..., classes) -> (batch,).

    It is 0 where the network's distribution is the target's. Targets below 1e-7 count as that, as in Keras.
    """
    logits, targets = pair(logits, targets)
    targets = jnp.clip(targets, EPSILON, 1)
    return per_example(jnp.sum(targets * (jnp.log(targets) - jax.nn.log_softmax(logits)), axis=-1), weights)


def kl_divergence_from_probabilities(
    probabilities: jax.Array, targets: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns sum(targets log(targets / probabilities)), both clipped, (batch, ..., classes) -> (batch,)."""
    p, t = (jnp.clip(values, EPSILON, 1) for values in pair(probabilities, targets))
    return per_example(jnp.sum(t * jnp.log(t / p), axis=-1), weights)


def tversky_from_probabilities(
    probabilities: jax.Array, targets: jax.Array, alpha: float = 0.5, beta: float = 0.5
) -> jax.Array:
    """Returns 1 - h / (h + alpha missed + beta false + 1e-7), both (batch, ...) -> (batch,).

    Over each whole example, h = sum(t p) is what was hit, sum(t (1 - p)) what was missed and sum(p (1 - t))
    what was found where nothing is. Keras calls the missed ones false positives; its numbers are the same.
    Source: arXiv 1706.05721.
    """
    p, t = pair(probabilities, targets)
    axes = tuple(range(1, p.ndim))
    hit, missed, false = (jnp.sum(part, axis=axes) for part in (t * p, t * (1 - p), p * (1 - t)))
    return 1 - hit / (hit + alpha * missed + beta * false + EPSILON)


def tversky(logits: jax.Array, targets: jax.Array, alpha: float = 0.5, beta: float = 0.5) -> jax.Array:
    """Returns `tversky_from_probabilities` of sigmoid(logits), both (batch, ...) -> (batch,)."""
    return tversky_from_probabilities(jax.nn.sigmoid(real(logits)), targets, alpha, beta)


def dice_from_probabilities(probabilities: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns 1 - 2 sum(t p) / (sum(t) + sum(p) + 1e-7) of each example, both (batch, ...) -> (batch,).

    This is Keras's `dice` with all axes but the batch's; its default is one number for the whole batch.

    Examples:
        >>> p, t = jnp.array([[0.5, 0.5, 0.0]]), jnp.array([[1.0, 1.0, 0.0]])
        >>> print(dice_from_probabilities(p, t).round(4))
        [0.3333]
    """
    p, t = pair(probabilities, targets)
    axes = tuple(range(1, p.ndim))
    return 1 - 2 * jnp.sum(t * p, axis=axes) / (jnp.sum(t, axis=axes) + jnp.sum(p, axis=axes) + EPSILON)


def dice(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns `dice_from_probabilities` of sigmoid(logits), both (batch, ...) -> (batch,)."""
    return dice_from_probabilities(jax.nn.sigmoid(real(logits)), targets)


def ctc(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns -log P(labels) by connectionist temporal classification, for all alignments, (batch,).

    Args:
        logits: (batch, time, classes); class 0 is the blank.
        labels: (batch, length) integers, not aligned with time; 0 fills the rest of shorter ones.

    Raises:
        UserError: If the shapes do not fit, or the labels are not integers.

    Source: Graves et al., ICML 2006; `optax.ctc_loss`.
    """
    logits = real(logits)
    if logits.ndim != 3 or labels.ndim != 2 or len(labels) != len(logits):
        raise UserError(
            f"ctc got logits of shape {logits.shape} and labels of shape {labels.shape}: they must be "
            "(batch, time, classes) and (batch, length)"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UserError(f"ctc got labels of type {labels.dtype}: they must be whole numbers")
    filled = jnp.sum(labels != 0, axis=1, keepdims=True)
    padding = jnp.arange(labels.shape[1])[None] >= filled
    return optax.ctc_loss(
        logits, jnp.zeros(logits.shape[:2], logits.dtype), labels, padding.astype(logits.dtype)
    )
