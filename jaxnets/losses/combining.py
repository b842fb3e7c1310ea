"""Losses made of losses: of several heads, with weights of classes, without some labels."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.errors import UserError
from jaxnets.losses.values import Weighted, broadcast, per_example, weigh


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

    Its keyword `weights` is a dict of weights, (batch,) or of positions, for those heads that have any.

    Examples:
        >>> from jaxnets.losses import mean_squared_error, sparse_categorical_crossentropy
        >>> loss = heads({"class": (sparse_categorical_crossentropy, 0.8), "box": (mean_squared_error, 0.2)})
        >>> outputs = {"class": jnp.zeros((1, 4)), "box": jnp.ones((1, 4))}
        >>> print(loss(outputs, {"class": jnp.array([2]), "box": jnp.zeros((1, 4))}))  # 0.8 log 4 + 0.2
        [1.3090355]
    """
    factors = {name: factor for name, (_, factor) in parts.items()}

    def loss(
        outputs: Mapping[str, jax.Array],
        targets: Mapping[str, jax.Array],
        weights: Mapping[str, jax.Array] | None = None,
    ) -> jax.Array:
        given = weights or {}
        if unknown := given.keys() - parts.keys():
            raise UserError(f"weights of {sorted(unknown)}: the heads are {sorted(parts)}")
        values = {}
        for name, (part, _) in parts.items():
            value = weigh(part, outputs[name], targets[name], given.get(name))
            if isinstance(value, Weighted):
                raise UserError(f"head {name}: a loss from ignore_class cannot be one of several")
            values[name] = value
        return weighted_sum(values, factors)

    return loss


def of_head(name: str, function: Callable[..., jax.Array]) -> Callable[[Any, Any], jax.Array]:
    """Returns a loss or metric of one head as a function of the dicts of all heads."""
    return lambda outputs, targets: function(outputs[name], targets[name])


def class_weighted(
    loss: Callable[..., Any], weights: Mapping[int, float] | Sequence[float]
) -> Callable[..., Any]:
    """Returns a loss in which every example, or every position of it, has the weight of its own class.

    The sum is divided by the number of examples, not by that of the weights, as with Keras's `class_weight`.

    Args:
        loss: A loss of classes, such as `sparse_categorical_crossentropy`. Its targets are labels, one-hot
            rows, or, for a binary loss, numbers (batch, 1) or (batch,) that are rounded to 0 or 1.
        weights: The weight of each class, one for every class; or of some by number, and the others weigh 1.

    Raises:
        UserError: If a weight is negative, or a class is not a whole number from 0 on; when called, if the
            outputs have fewer classes, or, without numbers, more.

    Examples:
        >>> from jaxnets.losses import sparse_categorical_crossentropy
        >>> loss = class_weighted(sparse_categorical_crossentropy, {1: 10.0})
        >>> print(loss(jnp.zeros((2, 2)), jnp.array([0, 1])))  # log 2 and 10 log 2
        [0.6931472 6.931472 ]
    """
    is_complete = not isinstance(weights, Mapping)
    by_class = dict(weights) if isinstance(weights, Mapping) else dict(enumerate(weights))
    for number, weight in by_class.items():
        if not isinstance(number, Integral) or number < 0 or not weight >= 0:
            raise UserError(
                f"class {number} weighs {weight}: classes count from 0, and weights must be 0 or more"
            )

    def weights_of(classes: jax.Array) -> jax.Array:
        found = jnp.ones(classes.shape)
        for number, weight in by_class.items():
            found = jnp.where(classes == number, weight, found)
        return found

    def weighted(outputs: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> Any:
        classes = max(jnp.shape(outputs)[-1], 2) if jnp.ndim(outputs) > 1 else 2
        if max(by_class, default=-1) >= classes or (is_complete and len(by_class) < classes):
            raise UserError(f"weights of classes {list(by_class)}: the outputs have {classes} classes")
        own = weights_of(_classes_of(outputs, jnp.asarray(targets)))
        if weights is not None:
            own = own * broadcast(weights, own)
        return weigh(loss, outputs, targets, own)

    return weighted


def ignore_class(loss: Callable[..., jax.Array], ignored: int) -> Callable[..., Weighted]:
    """Returns a loss of labels that does not count the examples, or the positions of them, of one label.

    A batch's loss is the mean over the others, 0 if there are none, as with Keras's `ignore_class`.

    Args:
        loss: A loss of labels that takes weights of positions, such as `sparse_categorical_crossentropy`.
        ignored: The label, such as -1 or 255; it need not be a class.

    Examples:
        >>> from jaxnets.losses import reduce, sparse_categorical_crossentropy
        >>> loss = ignore_class(sparse_categorical_crossentropy, 255)
        >>> print(reduce(loss(jnp.zeros((1, 3, 2)), jnp.array([[0, 255, 1]]))))  # log 2
        0.6931472
    """

    def counting(outputs: jax.Array, labels: jax.Array, weights: jax.Array | None = None) -> Weighted:
        counts = (jnp.asarray(labels) != ignored).astype(jnp.float32)
        own = counts if weights is None else counts * broadcast(weights, counts)
        values = weigh(loss, outputs, jnp.where(counts > 0, labels, 0), own)
        return Weighted(jnp.asarray(values), per_example(counts))

    return counting


def _classes_of(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns the class of every example or position: of labels, one-hot rows, or numbers from 0 to 1."""
    if targets.ndim < jnp.ndim(outputs) or targets.ndim == 1:
        return jnp.round(targets)
    return jnp.round(targets[..., 0]) if targets.shape[-1] == 1 else jnp.argmax(targets, axis=-1)
