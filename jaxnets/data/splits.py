"""A part of the training examples held out to validate by."""

import numpy as np

from jaxnets.data.sampler import epoch_order
from jaxnets.data.source import ArraySource, Source, Subset
from jaxnets.errors import UserError


def subset(source: Source, rows: np.ndarray) -> Source:
    """Returns some rows of a source, in the order given."""
    if isinstance(source, ArraySource):
        return ArraySource(**source[rows], classes=source.features.classes or None)
    return Subset(source, rows)


def split(
    source: Source, held_out: int | float, *, seed: int | None = None, stratify: bool = False
) -> tuple[Source, Source]:
    """Cuts a source into what is trained on and what is held out.

    Args:
        source: The examples.
        held_out: How many to hold out: a count, or a fraction between 0 and 1 (rounded as Keras's
            `validation_split` does: the training part is floor(N (1 - fraction))).
        seed: Shuffles before cutting; with None the last rows are held out, as Keras does.
        stratify: Hold out the same fraction of every class, so that small classes are in both parts.

    Returns:
        (to train on, held out); each keeps the order of the rows it holds.

    Raises:
        UserError: one of the parts would be empty, or stratifying has no classes to go by.

    Examples:
        >>> train, held_out = split(ArraySource(np.eye(10), np.arange(10)), 0.2)
        >>> held_out.y.tolist()
        [8, 9]
    """
    size = len(source)
    order = np.arange(size) if seed is None else epoch_order(size, seed, 0)
    # the rounding guards against 10 * (1 - 0.9) = 0.9999999999999998
    kept = int(round(size * (1 - held_out), 6)) if isinstance(held_out, float) else size - held_out
    if not 0 < kept < size:
        raise UserError(
            f"holding out {held_out} of {size} examples leaves {max(min(kept, size), 0)} to train on: "
            "give a fraction between 0 and 1, or a count smaller than all"
        )
    if stratify:
        order = _stratified(source, order)
    return subset(source, np.sort(order[:kept])), subset(source, np.sort(order[kept:]))


def _stratified(source: Source, order: np.ndarray) -> np.ndarray:
    """Reorders so that any cut of the rows takes the same fraction of every class, to one example."""
    if not source.features.classes:
        raise UserError("stratifying needs classes, and the targets here are numbers: leave stratify out")
    labels = source.labels()[order]
    place = np.zeros(len(order))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return order[np.argsort(place, kind="stable")]
