"""Losses of classes: each takes logits, or, `_from_probabilities`, the output of a softmax or sigmoid."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.errors import UserError
from jaxnets.losses.values import clip, pair, per_example, real


def log_of_distribution(probabilities: jax.Array) -> jax.Array:
    """Returns the logarithm of probabilities, first divided by their sum, then clipped, as in Keras."""
    return jnp.log(clip(probabilities / jnp.sum(probabilities, axis=-1, keepdims=True)))


def smooth_labels(targets: jax.Array, amount: float) -> jax.Array:
    """Returns one-hot targets (..., classes) smoothed to (1 - amount) targets + amount / classes.

    Source: arXiv 1512.00567.
    """
    return real(targets) * (1 - amount) + amount / targets.shape[-1]


def _categorical(
    log_probabilities: jax.Array, targets: jax.Array, label_smoothing: float, weights: jax.Array | None
) -> jax.Array:
    targets = smooth_labels(targets, label_smoothing) if label_smoothing else targets
    # 0 log 0 is 0: a class that is not the target costs nothing, however improbable it is.
    return per_example(-jnp.sum(jnp.where(targets == 0, 0, targets * log_probabilities), axis=-1), weights)


def _sparse(
    log_probabilities: jax.Array,
    labels: jax.Array,
    label_smoothing: float,
    weights: jax.Array | None,
) -> jax.Array:
    if labels.shape != log_probabilities.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UserError(
            f"labels of shape {labels.shape} and type {labels.dtype} do not fit predictions of shape "
            f"{log_probabilities.shape}: they must be whole numbers of shape {log_probabilities.shape[:-1]}"
        )
    # Summed over all classes, since the gradient of looking one up is a scatter, slow on accelerators.
    classes = lax.broadcasted_iota(jnp.int32, log_probabilities.shape, labels.ndim)
    own = labels.astype(jnp.int32)[..., None] == classes
    picked = jnp.sum(jnp.where(own, log_probabilities, 0), axis=-1)
    picked = jnp.where(jnp.any(own, axis=-1), picked, jnp.nan)
    if label_smoothing:
        uniform = jnp.mean(log_probabilities, axis=-1)
        picked = (1 - label_smoothing) * picked + label_smoothing * uniform
    return per_example(-picked, weights)


def categorical_crossentropy(
    logits: jax.Array, targets: jax.Array, label_smoothing: float = 0.0, weights: jax.Array | None = None
) -> jax.Array:
    """Returns -sum(targets log softmax(logits)), both (batch, ..., classes) -> (batch,)."""
    logits, targets = pair(logits, targets)
    return _categorical(jax.nn.log_softmax(logits), targets, label_smoothing, weights)


def categorical_crossentropy_from_probabilities(
    probabilities: jax.Array,
    targets: jax.Array,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns -sum(targets log probabilities), clipped, both (batch, ..., classes) -> (batch,).

    Examples:
        >>> print(categorical_crossentropy_from_probabilities(jnp.array([[0.6, 0.4]]), jnp.array([[1, 0]])))
        [0.5108256]
    """
    probabilities, targets = pair(probabilities, targets)
    return _categorical(log_of_distribution(probabilities), targets, label_smoothing, weights)


def sparse_categorical_crossentropy(
    logits: jax.Array,
    labels: jax.Array,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns -log softmax(logits)[label], logits (batch, ..., classes), labels (batch, ...) -> (batch,).

    Labels are integers. One that is not a class, such as -1, gives nan rather than the loss of another class.
    For labels that say "not labelled" see `ignore_class`.
    """
    return _sparse(jax.nn.log_softmax(real(logits)), labels, label_smoothing, weights)


def sparse_categorical_crossentropy_from_probabilities(
    probabilities: jax.Array,
    labels: jax.Array,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns -log probabilities[label], clipped, (batch, ..., classes), labels (batch, ...) -> (batch,)."""
    log_probabilities = log_of_distribution(real(probabilities))
    return _sparse(log_probabilities, labels, label_smoothing, weights)


def binary_crossentropy(
    logits: jax.Array, targets: jax.Array, label_smoothing: float = 0.0, weights: jax.Array | None = None
) -> jax.Array:
    """Returns -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), logits and targets (batch, ...) -> (batch,).

    Smoothed targets are (1 - s) t + s/2, as in Keras.
    """
    logits, targets = pair(logits, targets)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return per_example(-targets * yes - (1 - targets) * no, weights)


def binary_crossentropy_from_probabilities(
    probabilities: jax.Array,
    targets: jax.Array,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns -t log p - (1 - t) log(1 - p), with p clipped, both (batch, ...) -> (batch,)."""
    probabilities, targets = pair(probabilities, targets)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    p = clip(probabilities)
    return per_example(-targets * jnp.log(p) - (1 - targets) * jnp.log(1 - p), weights)
