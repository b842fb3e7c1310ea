"""Holding out a part of the training examples for validation."""

import numpy as np

from jaxnets.data.sampler import epoch_order
from jaxnets.data.source import ArraySource, Source, Subset
from jaxnets.errors import UserError, whole


def subset(source: Source, rows: np.ndarray) -> Source:
    """Returns some rows of a source, in the order given."""
    if isinstance(source, ArraySource):
        return ArraySource(**source[rows], classes=source.features.classes or None)
    return Subset(source, rows)


def split(
    source: Source, held_out: int | float, *, seed: int | None = None, stratify: bool = False
) -> tuple[Source, Source]:
    """Splits a source into a training part and a held-out part.

    Args:
        source: The examples.
        held_out: Number of examples to hold out, or a fraction between 0 and 1 (rounded as by Keras's
            `validation_split`: the training part is floor(N (1 - fraction))).
        seed: Seed of a shuffle before the split; with None the last rows are held out, as in Keras.
        stratify: Whether to hold out the same fraction of every class, so that small ones are in both parts.

    Returns:
        The training part and the held-out part; each keeps the order of its rows.

    Raises:
        UserError: If one of the parts would be empty, or there are no classes to stratify by.

    Examples:
        >>> train, held_out = split(ArraySource(np.eye(10), np.arange(10)), 0.2)
        >>> held_out.y.tolist()
        [8, 9]
    """
    size = len(source)
    order = np.arange(size) if seed is None else epoch_order(size, seed, 0)
    if isinstance(held_out, (float, np.floating)):  # the rounding is for 10 * (1 - 0.9) = 0.9999999999999998
        kept = int(round(size * (1 - float(held_out)), 6)) if np.isfinite(held_out) else size
    else:
        kept = size - whole("held_out", held_out)
    if not 0 < kept < size:
        raise UserError(
            f"{held_out} of {size} examples cannot be held out, as both parts need some: give a fraction "
            "between 0 and 1, or a smaller count"
        )
    if stratify:
        order = _stratified(source, order)
    return subset(source, np.sort(order[:kept])), subset(source, np.sort(order[kept:]))


def _stratified(source: Source, order: np.ndarray) -> np.ndarray:
    """Returns the rows reordered so that any cut takes the same fraction of every class, to one example."""
    if not source.features.classes:
        raise UserError("stratifying needs classes, and the targets here are numbers: leave stratify out")
    labels = source.labels()[order]
    place = np.zeros(len(order))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return order[np.argsort(place, kind="stable")]
