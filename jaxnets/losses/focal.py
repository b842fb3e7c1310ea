"""Focal losses (arXiv 1708.02002): crossentropy, the less the more probable the right answer already is."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.losses.classification import log_of_distribution, smooth_labels
from jaxnets.losses.values import clip, pair, per_example


def _binary(
    yes: jax.Array,
    no: jax.Array,
    p: jax.Array,
    targets: jax.Array,
    options: tuple[float, float | None, float],
    weights: jax.Array | None,
) -> jax.Array:
    gamma, alpha, label_smoothing = options
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    right = targets * p + (1 - targets) * (1 - p)
    values = jnp.power(1 - right, gamma) * (-targets * yes - (1 - targets) * no)
    if alpha is not None:
        values = values * (targets * alpha + (1 - targets) * (1 - alpha))
    return per_example(values, weights)


def binary_focal_crossentropy(
    logits: jax.Array,
    targets: jax.Array,
    gamma: float = 2.0,
    alpha: float | None = None,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns (1 - q)^gamma times the binary crossentropy, logits and targets (batch, ...) -> (batch,).

    Args:
        logits: Logits; p is their sigmoid.
        targets: Targets t from 0 to 1; q = t p + (1 - t) (1 - p) is how probable they were.
        gamma: How strongly probable answers are discounted; 0 gives the crossentropy.
        alpha: The weight of targets 1, those of 0 weighing 1 - alpha; Keras's `apply_class_balancing` with
            this alpha. By default both weigh 1.
        label_smoothing: The amount s of smoothing; targets become (1 - s) t + s/2.
        weights: Weights of examples or positions. By default 1.
    """
    logits, targets = pair(logits, targets)
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return _binary(yes, no, jax.nn.sigmoid(logits), targets, (gamma, alpha, label_smoothing), weights)


def binary_focal_crossentropy_from_probabilities(
    probabilities: jax.Array,
    targets: jax.Array,
    gamma: float = 2.0,
    alpha: float | None = None,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns `binary_focal_crossentropy` of probabilities, which are clipped in its logarithms."""
    p, targets = pair(probabilities, targets)
    yes, no = jnp.log(clip(p)), jnp.log(1 - clip(p))
    return _binary(yes, no, p, targets, (gamma, alpha, label_smoothing), weights)


def _categorical(
    log_probabilities: jax.Array,
    targets: jax.Array,
    options: tuple[float, float | Sequence[float], float],
    weights: jax.Array | None,
) -> jax.Array:
    gamma, alpha, label_smoothing = options
    targets = smooth_labels(targets, label_smoothing) if label_smoothing else targets
    costs = jnp.where(targets == 0, 0, -targets * log_probabilities)  # 0 log 0 is 0
    focus = jnp.power(1 - jnp.exp(log_probabilities), gamma)
    by_class = jnp.broadcast_to(jnp.asarray(alpha, costs.dtype), costs.shape)
    return per_example(jnp.sum(by_class * focus * costs, axis=-1), weights)


def categorical_focal_crossentropy(
    logits: jax.Array,
    targets: jax.Array,
    gamma: float = 2.0,
    alpha: float | Sequence[float] = 0.25,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns -sum(alpha (1 - p)^gamma targets log(p)), both (batch, ..., classes) -> (batch,).

    Args:
        logits: Logits; p is their softmax.
        targets: One-hot targets, or distributions.
        gamma: How strongly probable classes are discounted; 0 gives the crossentropy times alpha.
        alpha: A weight, or one for each class.
        label_smoothing: The amount of smoothing, as in `smooth_labels`.
        weights: Weights of examples or positions. By default 1.
    """
    logits, targets = pair(logits, targets)
    return _categorical(jax.nn.log_softmax(logits), targets, (gamma, alpha, label_smoothing), weights)


def categorical_focal_crossentropy_from_probabilities(
    probabilities: jax.Array,
    targets: jax.Array,
    gamma: float = 2.0,
    alpha: float | Sequence[float] = 0.25,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns `categorical_focal_crossentropy` of probabilities, which are clipped."""
    probabilities, targets = pair(probabilities, targets)
    return _categorical(log_of_distribution(probabilities), targets, (gamma, alpha, label_smoothing), weights)
