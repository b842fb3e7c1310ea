"""Metrics: pure functions with one value per example, to be summed, counted and divided once.

Regression errors, confusion matrix and average precision are functions of many examples together; their
`mask` (N,) of 0/1 excludes padding.
"""

import jax
import jax.numpy as jnp

from jaxnets.errors import UserError


def _same_shape(predictions: jax.Array, targets: jax.Array) -> None:
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


def label_accuracy(predicted: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns 1.0 where the predicted label is right, both (batch,) -> (batch,), as Keras's `Accuracy`."""
    _same_shape(predicted, labels)
    return (predicted == labels).astype(jnp.float32)


def top_k_accuracy(logits: jax.Array, labels: jax.Array, k: int = 5) -> jax.Array:
    """Returns 1.0 where fewer than k logits exceed the label's, (batch, classes), (batch,) -> (batch,)."""
    own = jnp.take_along_axis(logits, labels[:, None], axis=-1)
    in_top = (jnp.sum(logits > own, axis=-1) < k) & ~jnp.isnan(own[:, 0])  # nothing is larger than nan
    return in_top.astype(jnp.float32)


def intersection_over_union(boxes: jax.Array, others: jax.Array) -> jax.Array:
    """Returns the intersection of two boxes divided by their union, both (..., 4) -> (...).

    A box is ymin, xmin, ymax, xmax; one with its edges the wrong way round has no area.

    Raises:
        UserError: If the two do not have the same shape.

    Examples:
        >>> print(intersection_over_union(jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([0.5, 0.0, 1.5, 1.0])))
        0.33333334
    """
    _same_shape(boxes, others)
    top_left = jnp.maximum(boxes[..., :2], others[..., :2])
    bottom_right = jnp.minimum(boxes[..., 2:], others[..., 2:])
    shared = jnp.prod(jnp.maximum(bottom_right - top_left, 0), axis=-1)
    own, other = (jnp.prod(jnp.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (boxes, others))
    covered = own + other - shared
    return shared / jnp.where(covered > 0, covered, 1)


def _mask_of(values: jax.Array, mask: jax.Array | None) -> jax.Array:
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
    _same_shape(predictions, targets)
    mask = _mask_of(predictions, mask)
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
    """Returns how often each label (row) was predicted as each class (column), (classes, classes)."""
    known = (predicted >= 0) & (labels >= 0)  # a negative index would count from the end
    counts = jnp.zeros((num_classes, num_classes)).at[labels, predicted]
    return counts.add(jnp.where(known, _mask_of(labels, mask), 0), mode="drop")


def maximum_precisions(precisions: jax.Array) -> jax.Array:
    """Returns the best precision at each recall or a higher one: a maximum from the right, (N,) -> (N,).

    Examples:
        >>> print(maximum_precisions(jnp.array([0.9, 0.5, 0.6])))
        [0.9 0.6 0.6]
    """
    return jax.lax.cummax(precisions, reverse=True)


def interpolated_average_precision(precisions: jax.Array, recalls: jax.Array, points: int = 11) -> jax.Array:
    """Returns the mean, (), over equidistant recall levels from 0 to 1, of the best precision from there on.

    PASCAL VOC and the course use 11 points, COCO uses 101. A level that no recall reaches counts as 0.

    Args:
        precisions: Precisions, (N,).
        recalls: Recalls, (N,), rising.
        points: Number of recall levels.
    """
    best = jnp.append(maximum_precisions(precisions), 0)
    # The level i / (points - 1) is met when recall * (points - 1) is i up to rounding.
    reached = jnp.searchsorted(recalls * (points - 1) + 1e-4, jnp.arange(points, dtype=recalls.dtype))
    return jnp.mean(best[reached])


def average_precision(
    scores: jax.Array,
    positive: jax.Array,
    mask: jax.Array | None = None,
    *,
    points: int = 11,
    num_positives: jax.Array | int | None = None,
) -> jax.Array:
    """Returns the average precision of one class's scores, () between 0 and 1; 0 without positives.

    Args:
        scores: Confidence scores, (N,); equal scores keep their order.
        positive: (N,), 1 where the example (or detection) is right.
        mask: (N,), 0 for padding.
        points: Number of recall levels; see `interpolated_average_precision`.
        num_positives: Number of positives to find, if some were not proposed at all. By default
            sum(positive).
    """
    mask = _mask_of(scores, mask)
    order = jnp.argsort(jnp.where(mask > 0, -jnp.asarray(scores, jnp.float32), jnp.inf), stable=True)
    hits = (positive * mask)[order]
    found, seen = jnp.cumsum(hits), jnp.cumsum(mask[order])
    total = found[-1] if num_positives is None else jnp.asarray(num_positives, found.dtype)
    precisions = found / jnp.maximum(seen, 1)
    return jnp.where(
        total > 0,
        interpolated_average_precision(precisions, found / jnp.maximum(total, 1), points),
        0.0,
    )


def mean_average_precision(
    scores: jax.Array, labels: jax.Array, mask: jax.Array | None = None, *, points: int = 11
) -> jax.Array:
    """Returns the average precision of each class, averaged over the classes that occur, ().

    Args:
        scores: Confidence scores, (N, classes).
        labels: (N, classes) of 0/1; an example may belong to several classes, or none.
        mask: (N,), 0 for padding.
        points: Number of recall levels, 11 (PASCAL VOC, the course) or 101 (COCO).
    """
    mask = _mask_of(scores, mask)
    occurs = jnp.sum(labels * mask[:, None], axis=0) > 0
    each = jax.vmap(lambda s, y: average_precision(s, y, mask, points=points), in_axes=1)(scores, labels)
    return jnp.sum(each * occurs) / jnp.maximum(jnp.sum(occurs), 1)
