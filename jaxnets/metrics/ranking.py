"""Average precision: how well scores rank the examples of a class before the others."""

import jax
import jax.numpy as jnp

from jaxnets.metrics.examples import mask_of


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
    mask = mask_of(scores, mask)
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
    mask = mask_of(scores, mask)
    occurs = jnp.sum(labels * mask[:, None], axis=0) > 0
    each = jax.vmap(lambda s, y: average_precision(s, y, mask, points=points), in_axes=1)(scores, labels)
    return jnp.sum(each * occurs) / jnp.maximum(jnp.sum(occurs), 1)
