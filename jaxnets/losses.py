"""Losses: pure functions of (predictions, targets) that give one float32 value an example, shape (batch,).

Classification losses take logits; their `_from_probabilities` forms take what softmax or sigmoid gave and
clip it to [1e-7, 1 - 1e-7], as Keras does. Whatever follows the batch axis (time steps, pixels, outputs) is
averaged. `masked_mean` makes the one number to minimize; penalties are added to it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.errors import UserError

EPSILON = 1e-7  # keras.config.epsilon()


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean of values (batch,) where mask (batch,) is 1; 0 where nothing is left.

    What the mask hides may be anything, nan included.
    """
    kept = jnp.where(mask > 0, values, 0) * mask
    total = jnp.sum(mask)
    return jnp.sum(kept) / jnp.where(total > 0, total, 1)


def _real(x: jax.Array) -> jax.Array:
    """At least float32: bfloat16 has too few digits for a loss."""
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
    """(batch, ...) -> (batch,): the mean of everything that belongs to one example."""
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


def _clip(probabilities: jax.Array) -> jax.Array:
    return jnp.clip(probabilities, EPSILON, 1 - EPSILON)


def _log_of_distribution(probabilities: jax.Array) -> jax.Array:
    """Keras first divides by the sum, then clips."""
    return jnp.log(_clip(probabilities / jnp.sum(probabilities, axis=-1, keepdims=True)))


def smooth_labels(targets: jax.Array, amount: float) -> jax.Array:
    """(1 - amount) targets + amount / classes, for one-hot targets (..., classes). arXiv 1512.00567."""
    return _real(targets) * (1 - amount) + amount / targets.shape[-1]


def _categorical(log_probabilities: jax.Array, targets: jax.Array, label_smoothing: float) -> jax.Array:
    targets = smooth_labels(targets, label_smoothing) if label_smoothing else targets
    # 0 log 0 is 0: a class that nobody asked for costs nothing, however impossible it is.
    return _per_example(-jnp.sum(jnp.where(targets == 0, 0, targets * log_probabilities), axis=-1))


def _sparse(log_probabilities: jax.Array, labels: jax.Array, label_smoothing: float) -> jax.Array:
    if labels.shape != log_probabilities.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UserError(
            f"labels of shape {labels.shape} and type {labels.dtype} do not go with predictions of shape "
            f"{log_probabilities.shape}: they must be whole numbers of shape {log_probabilities.shape[:-1]}"
        )
    labels = labels.astype(jnp.int32)
    labels = jnp.where(labels < 0, log_probabilities.shape[-1], labels)  # or -1 would be the last class
    picked = jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1, mode="fill")[..., 0]
    if label_smoothing:
        uniform = jnp.mean(log_probabilities, axis=-1)
        picked = (1 - label_smoothing) * picked + label_smoothing * uniform
    return _per_example(-picked)


def categorical_crossentropy(
    logits: jax.Array, targets: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """-sum(targets log softmax(logits)): logits and targets (batch, ..., classes) -> (batch,)."""
    logits, targets = _pair(logits, targets)
    return _categorical(jax.nn.log_softmax(logits), targets, label_smoothing)


def categorical_crossentropy_from_probabilities(
    probabilities: jax.Array, targets: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """-sum(targets log probabilities), clipped: both (batch, ..., classes) -> (batch,).

    Examples:
        >>> print(categorical_crossentropy_from_probabilities(jnp.array([[0.6, 0.4]]), jnp.array([[1, 0]])))
        [0.5108256]
    """
    probabilities, targets = _pair(probabilities, targets)
    return _categorical(_log_of_distribution(probabilities), targets, label_smoothing)


def sparse_categorical_crossentropy(
    logits: jax.Array, labels: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """-log softmax(logits)[label]: logits (batch, ..., classes), integer labels (batch, ...) -> (batch,).

    A label that is no class, -1 say, gives nan rather than the loss of another class.
    """
    return _sparse(jax.nn.log_softmax(_real(logits)), labels, label_smoothing)


def sparse_categorical_crossentropy_from_probabilities(
    probabilities: jax.Array, labels: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """-log probabilities[label], clipped: (batch, ..., classes), integer labels (batch, ...) -> (batch,)."""
    return _sparse(_log_of_distribution(_real(probabilities)), labels, label_smoothing)


def binary_crossentropy(logits: jax.Array, targets: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)): logits and targets (batch, ...) -> (batch,).

    Smoothed targets are (1 - s) t + s/2, as in Keras.
    """
    logits, targets = _pair(logits, targets)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return _per_example(-targets * yes - (1 - targets) * no)


def binary_crossentropy_from_probabilities(
    probabilities: jax.Array, targets: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """-t log p - (1 - t) log(1 - p), p clipped: both (batch, ...) -> (batch,); smoothed as from logits."""
    probabilities, targets = _pair(probabilities, targets)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    p = _clip(probabilities)
    return _per_example(-targets * jnp.log(p) - (1 - targets) * jnp.log(1 - p))


def mean_squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """mean((predictions - targets)^2): both (batch, ...) -> (batch,)."""
    predictions, targets = _pair(predictions, targets)
    return _per_example(jnp.square(predictions - targets))


def mean_absolute_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """mean(|predictions - targets|): both (batch, ...) -> (batch,)."""
    predictions, targets = _pair(predictions, targets)
    return _per_example(jnp.abs(predictions - targets))


def huber(predictions: jax.Array, targets: jax.Array, delta: float = 1.0) -> jax.Array:
    """mean of e^2/2 where |e| <= delta, else delta |e| - delta^2/2: both (batch, ...) -> (batch,)."""
    predictions, targets = _pair(predictions, targets)
    size = jnp.abs(predictions - targets)
    inner = jnp.minimum(size, delta)
    return _per_example(0.5 * jnp.square(inner) + delta * (size - inner))


def asymmetric_cost(predictions: jax.Array, targets: jax.Array, cost: float, profit: float) -> jax.Array:
    """cost (y - t) where y > t, profit (t - y) elsewhere, summed: both (batch, ...) -> (batch,).

    The course's own loss for selling yogurt (chapter 2): too much made costs `cost` a piece, too little
    loses `profit` a piece.
    """
    predictions, targets = _pair(predictions, targets)
    excess = predictions - targets
    return jnp.sum(jnp.where(excess > 0, cost * excess, -profit * excess), axis=tuple(range(1, excess.ndim)))


def weighted_sum(values: Mapping[str, jax.Array], weights: Mapping[str, float]) -> jax.Array:
    """The loss of a network with several heads: each head's values (batch,) times its weight, added up.

    Raises:
        UserError: the heads and the weights do not have the same names.
    """
    if values.keys() != weights.keys():
        raise UserError(
            f"weighted_sum got losses {sorted(values)} and weights {sorted(weights)}: "
            "every head needs one weight of the same name"
        )
    return sum((weights[name] * values[name] for name in values), start=jnp.zeros(()))


def heads(parts: Mapping[str, tuple[Callable[..., jax.Array], float]]) -> Callable[[Any, Any], jax.Array]:
    """The loss of outputs and targets that are dicts: each head's own loss times its weight, added up (F6).

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
    """A loss or metric of one head, as a function of the dicts of all."""
    return lambda outputs, targets: function(outputs[name], targets[name])


def kernels(params: Any) -> Any:
    """A tree of booleans like params: True for every variable named `kernel`.

    As Keras's `kernel_regularizer`, that is: recurrent, depthwise and pointwise kernels have names, and in
    Keras regularizers, of their own.
    """

    def is_kernel(path, _):
        return bool(path) and getattr(path[-1], "key", None) == "kernel"

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def l1_l2_penalty(
    params: Any, l1: float = 0.0, l2: float = 0.0, select: Callable[[Any], Any] = kernels
) -> jax.Array:
    """l1 sum(|w|) + l2 sum(w^2) over the selected variables, () : what Keras's regularizers add to the loss.

    There is no 1/2: the gradient is 2 l2 w. Biases, scales and embeddings stay free unless `select`, a
    function from params to a tree of booleans, says otherwise.
    """
    chosen = jax.tree.map(lambda w, take: w if take else None, params, select(params))
    zero = jnp.zeros(())
    return sum(
        (l1 * jnp.sum(jnp.abs(w)) + l2 * jnp.sum(jnp.square(w)) for w in jax.tree.leaves(chosen)), zero
    )
