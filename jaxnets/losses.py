"""Losses: pure functions of (predictions, targets) with one float32 value per example, shape (batch,).

Classification losses take logits; their `_from_probabilities` forms take the output of a softmax or sigmoid
and clip it to [1e-7, 1 - 1e-7], as Keras does. All axes after the batch axis (time steps, pixels, outputs)
are averaged. `masked_mean` gives the number to minimize; penalties are added to it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.errors import UserError

EPSILON = 1e-7  # keras.config.epsilon()


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean, (), of values (batch,) where mask (batch,) is 1; 0 if that is nowhere.

    Masked values may be anything, nan included.
    """
    kept = jnp.where(mask > 0, values, 0) * mask
    total = jnp.sum(mask)
    return jnp.sum(kept) / jnp.where(total > 0, total, 1)


def _real(x: jax.Array) -> jax.Array:
    """Returns x as at least float32: bfloat16 has too few digits for a loss."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _pair(predictions: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    predictions, targets = _real(predictions), _real(targets)
    if predictions.shape != targets.shape:
        raise UserError(
            f"predictions have shape {predictions.shape} and targets {targets.shape}: they must be the same"
        )
    return predictions, targets


def _per_example(values: jax.Array) -> jax.Array:
    """Returns the mean over all values of each example, (batch, ...) -> (batch,)."""
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


def _clip(probabilities: jax.Array) -> jax.Array:
    return jnp.clip(probabilities, EPSILON, 1 - EPSILON)


def _log_of_distribution(probabilities: jax.Array) -> jax.Array:
    """Returns the logarithm of probabilities, first divided by their sum, then clipped, as in Keras."""
    return jnp.log(_clip(probabilities / jnp.sum(probabilities, axis=-1, keepdims=True)))


def smooth_labels(targets: jax.Array, amount: float) -> jax.Array:
    """Returns one-hot targets (..., classes) smoothed to (1 - amount) targets + amount / classes.

    Source: arXiv 1512.00567.
    """
    return _real(targets) * (1 - amount) + amount / targets.shape[-1]


def _categorical(log_probabilities: jax.Array, targets: jax.Array, label_smoothing: float) -> jax.Array:
    targets = smooth_labels(targets, label_smoothing) if label_smoothing else targets
    # 0 log 0 is 0: a class that is not the target costs nothing, however improbable it is.
    return _per_example(-jnp.sum(jnp.where(targets == 0, 0, targets * log_probabilities), axis=-1))


def _sparse(log_probabilities: jax.Array, labels: jax.Array, label_smoothing: float) -> jax.Array:
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
    return _per_example(-picked)


def categorical_crossentropy(
    logits: jax.Array, targets: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """Returns -sum(targets log softmax(logits)), both (batch, ..., classes) -> (batch,)."""
    logits, targets = _pair(logits, targets)
    return _categorical(jax.nn.log_softmax(logits), targets, label_smoothing)


def categorical_crossentropy_from_probabilities(
    probabilities: jax.Array, targets: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """Returns -sum(targets log probabilities), clipped, both (batch, ..., classes) -> (batch,).

    Examples:
        >>> print(categorical_crossentropy_from_probabilities(jnp.array([[0.6, 0.4]]), jnp.array([[1, 0]])))
        [0.5108256]
    """
    probabilities, targets = _pair(probabilities, targets)
    return _categorical(_log_of_distribution(probabilities), targets, label_smoothing)


def sparse_categorical_crossentropy(
    logits: jax.Array, labels: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """Returns -log softmax(logits)[label], logits (batch, ..., classes), labels (batch, ...) -> (batch,).

    Labels are integers. One that is not a class, such as -1, gives nan rather than the loss of another class.
    """
    return _sparse(jax.nn.log_softmax(_real(logits)), labels, label_smoothing)


def sparse_categorical_crossentropy_from_probabilities(
    probabilities: jax.Array, labels: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """Returns -log probabilities[label], clipped, (batch, ..., classes), labels (batch, ...) -> (batch,)."""
    return _sparse(_log_of_distribution(_real(probabilities)), labels, label_smoothing)


def binary_crossentropy(logits: jax.Array, targets: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """Returns -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), logits and targets (batch, ...) -> (batch,).

    Smoothed targets are (1 - s) t + s/2, as in Keras.
    """
    logits, targets = _pair(logits, targets)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return _per_example(-targets * yes - (1 - targets) * no)


def binary_crossentropy_from_probabilities(
    probabilities: jax.Array, targets: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """Returns -t log p - (1 - t) log(1 - p), with p clipped, both (batch, ...) -> (batch,)."""
    probabilities, targets = _pair(probabilities, targets)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    p = _clip(probabilities)
    return _per_example(-targets * jnp.log(p) - (1 - targets) * jnp.log(1 - p))


def mean_squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns mean((predictions - targets)^2), both (batch, ...) -> (batch,)."""
    predictions, targets = _pair(predictions, targets)
    return _per_example(jnp.square(predictions - targets))


def mean_absolute_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns mean(|predictions - targets|), both (batch, ...) -> (batch,)."""
    predictions, targets = _pair(predictions, targets)
    return _per_example(jnp.abs(predictions - targets))


def huber(predictions: jax.Array, targets: jax.Array, delta: float = 1.0) -> jax.Array:
    """Returns the mean of e^2/2 if |e| <= delta, else delta |e| - delta^2/2, (batch, ...) -> (batch,)."""
    predictions, targets = _pair(predictions, targets)
    size = jnp.abs(predictions - targets)
    inner = jnp.minimum(size, delta)
    return _per_example(0.5 * jnp.square(inner) + delta * (size - inner))


def asymmetric_cost(predictions: jax.Array, targets: jax.Array, cost: float, profit: float) -> jax.Array:
    """Returns the sum of cost (y - t) where y > t, else profit (t - y), both (batch, ...) -> (batch,).

    This is the course's loss for selling yogurt: each one too many costs `cost`, each one too few loses
    `profit`. Source: docs/results.md, row A8.
    """
    predictions, targets = _pair(predictions, targets)
    excess = predictions - targets
    return jnp.sum(jnp.where(excess > 0, cost * excess, -profit * excess), axis=tuple(range(1, excess.ndim)))


def weighted_sum(values: Mapping[str, jax.Array], weights: Mapping[str, float]) -> jax.Array:
    """Returns the weighted sum, (batch,), of the losses (batch,) of a network's heads.

    Raises:
        UserError: If the heads and the weights do not have the same names.
    """
    if values.keys() != weights.keys():
        raise UserError(
            f"weighted_sum got losses {sorted(values)} and weights {sorted(weights)}: "
            "every head needs one weight of the same name"
        )
    return sum((weights[name] * values[name] for name in values), start=jnp.zeros(()))


def heads(parts: Mapping[str, tuple[Callable[..., jax.Array], float]]) -> Callable[[Any, Any], jax.Array]:
    """Returns a loss of outputs and targets that are dicts: the weighted sum of each head's own loss.

    Examples:
        >>> loss = heads({"class": (sparse_categorical_crossentropy, 0.8), "box": (mean_squared_error, 0.2)})
        >>> outputs = {"class": jnp.zeros((1, 4)), "box": jnp.ones((1, 4))}
        >>> print(loss(outputs, {"class": jnp.array([2]), "box": jnp.zeros((1, 4))}))  # 0.8 log 4 + 0.2
        [1.3090355]
    """
    weights = {name: weight for name, (_, weight) in parts.items()}

    def loss(outputs: Mapping[str, jax.Array], targets: Mapping[str, jax.Array]) -> jax.Array:
        return weighted_sum(
            {name: part(outputs[name], targets[name]) for name, (part, _) in parts.items()}, weights
        )

    return loss


def of_head(name: str, function: Callable[..., jax.Array]) -> Callable[[Any, Any], jax.Array]:
    """Returns a loss or metric of one head as a function of the dicts of all heads."""
    return lambda outputs, targets: function(outputs[name], targets[name])


def kernels(params: Any) -> Any:
    """Returns a tree of booleans like params, True for every variable named `kernel`.

    This matches Keras's `kernel_regularizer`: recurrent, depthwise and pointwise kernels have names and, in
    Keras, regularizers of their own.
    """

    def is_kernel(path, _):
        return bool(path) and getattr(path[-1], "key", None) == "kernel"

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def l1_l2_penalty(
    params: Any, l1: float = 0.0, l2: float = 0.0, select: Callable[[Any], Any] = kernels
) -> jax.Array:
    """Returns l1 sum(|w|) + l2 sum(w^2), (), over the selected variables, as Keras's regularizers do.

    There is no 1/2: the gradient is 2 l2 w. Biases, scales and embeddings are not penalized unless `select`,
    a function from params to a tree of booleans, selects them.
    """
    chosen = jax.tree.map(lambda w, take: w if take else None, params, select(params))
    zero = jnp.zeros(())
    return sum(
        (l1 * jnp.sum(jnp.abs(w)) + l2 * jnp.sum(jnp.square(w)) for w in jax.tree.leaves(chosen)), zero
    )
