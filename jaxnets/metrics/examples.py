"""Metrics with one value per example, and those of all examples together."""

import jax
import jax.numpy as jnp

from jaxnets.errors import UserError


def same_shape(predictions: jax.Array, targets: jax.Array) -> None:
    """Refuses unequal shapes: (N, 1) and (N,) would broadcast to all pairs and give a plausible number."""
    if jnp.shape(predictions) != jnp.shape(targets):
        raise UserError(
            f"predictions have shape {jnp.shape(predictions)} and targets {jnp.shape(targets)}: "
            "they must be the same"
        )


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns 1.0 where the largest logit is the label's, (batch, classes), (batch,) -> (batch,)."""
    return label_accuracy(jnp.argmax(logits, axis=-1), labels)


def categorical_accuracy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns `accuracy` for one-hot targets, both (batch, classes) -> (batch,)."""
    return accuracy(logits, jnp.argmax(targets, axis=-1))


def binary_accuracy(logits: jax.Array, targets: jax.Array, threshold: float = 0.0) -> jax.Array:
    """Returns the fraction of logits on their target's side of the threshold, (batch, ...) -> (batch,).

    Targets are 0 and 1. A logit of 0 is a probability of a half; give 0.5 for probabilities.

    Examples:
        >>> print(binary_accuracy(jnp.array([[2.0, -1.0], [0.5, 3.0]]), jnp.array([[1, 0], [0, 1]])))
        [1.  0.5]
    """
    same_shape(logits, targets)
    right = ((logits > threshold) == (targets > 0.5)).astype(jnp.float32)
    return jnp.mean(right, axis=tuple(range(1, right.ndim)))


def label_accuracy(predicted: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns 1.0 where the predicted label is right, both (batch,) -> (batch,), as Keras's `Accuracy`."""
    same_shape(predicted, labels)
    return (predicted == labels).astype(jnp.float32)


def top_k_accuracy(logits: jax.Array, labels: jax.Array, k: int = 5) -> jax.Array:
    """Returns 1.0 where fewer than k logits exceed the label's, (batch, classes), (batch,) -> (batch,).

    A label that is no class, such as -1, is never among them.
    """
    own = jnp.take_along_axis(logits, labels[:, None], axis=-1)
    in_top = (jnp.sum(logits > own, axis=-1) < k) & ~jnp.isnan(own[:, 0])  # nothing is larger than nan
    return (in_top & (labels >= 0)).astype(jnp.float32)  # a negative index counts from the end


def intersection_over_union(boxes: jax.Array, others: jax.Array) -> jax.Array:
    """Returns the intersection of two boxes divided by their union, both (..., 4) -> (...).

    A box is ymin, xmin, ymax, xmax; one with its edges the wrong way round has no area.

    Raises:
        UserError: If the two do not have the same shape.

    Examples:
        >>> print(intersection_over_union(jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([0.5, 0.0, 1.5, 1.0])))
        0.33333334
    """
    same_shape(boxes, others)
    top_left = jnp.maximum(boxes[..., :2], others[..., :2])
    bottom_right = jnp.minimum(boxes[..., 2:], others[..., 2:])
    shared = jnp.prod(jnp.maximum(bottom_right - top_left, 0), axis=-1)
    own, other = (jnp.prod(jnp.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (boxes, others))
    covered = own + other - shared
    return shared / jnp.where(covered > 0, covered, 1)


def mask_of(values: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Returns the mask, or that of 1 for all."""
    return jnp.ones(len(values)) if mask is None else mask


def regression_errors(
    predictions: jax.Array, targets: jax.Array, mask: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Returns the mean squared error, its root and the mean absolute error: {"mse", "rmse", "mae"}, each ().

    Predictions and targets are (N, ...). The root is that of the whole mean, not a mean of roots. If the mask
    excludes everything, all three are nan.

    Raises:
        UserError: If the two do not have the same shape.
    """
    same_shape(predictions, targets)
    mask = mask_of(predictions, mask)
    # bfloat16 has too few digits for sums, and 1 - 2 is 255 in bytes.
    wide = jnp.promote_types(jnp.result_type(predictions, targets), jnp.float32)
    error = jnp.asarray(predictions, wide) - jnp.asarray(targets, wide)
    error = error.reshape(len(predictions), -1)
    error = jnp.where(mask[:, None] > 0, error, 0)
    count = jnp.sum(mask) * error.shape[1]
    mse = jnp.sum(jnp.square(error)) / count
    return {"mse": mse, "rmse": jnp.sqrt(mse), "mae": jnp.sum(jnp.abs(error)) / count}


def confusion_matrix(
    predicted: jax.Array, labels: jax.Array, num_classes: int, mask: jax.Array | None = None
) -> jax.Array:
    """Returns how often each label (row) was predicted as each class (column), (classes, classes).

    Args:
        predicted: Predicted classes, integers (batch,).
        labels: True classes, integers (batch,). A negative one is no class, and not counted.
        num_classes: Number of classes.
        mask: Which examples count, (batch,). By default all.

    Raises:
        UserError: If the two do not have the same shape, or one of them is `num_classes` or more. In a
            compiled function, which cannot look at them, those are not counted.
    """
    same_shape(predicted, labels)
    for what, given in (("prediction", predicted), ("label", labels)):
        if not isinstance(given, jax.core.Tracer) and jnp.max(given, initial=-1) >= num_classes:
            raise UserError(f"a {what} of {jnp.max(given)}: {num_classes} classes are 0 to {num_classes - 1}")
    known = (predicted >= 0) & (labels >= 0)  # a negative index would count from the end
    counts = jnp.zeros((num_classes, num_classes)).at[labels, predicted]
    return counts.add(jnp.where(known, mask_of(labels, mask), 0), mode="drop")
