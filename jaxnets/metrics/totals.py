"""Metrics that are no mean over examples: counts that add up over batches and are divided once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from jaxnets.errors import UserError
from jaxnets.metrics.examples import same_shape

Parts = dict[str, jax.Array]


@struct.dataclass  # a tree that checkpoints hold, too
class Totals:
    """What a metric that is no mean returns instead of values per example.

    Attributes:
        parts: Arrays by name: one row per example, (batch, ...), and, once added up, (...).
        divide: Function from the added parts to the metric, (); made once, so that steps with the same metric
            are the same program.

    Examples:
        >>> import jax.numpy as jnp
        >>> def ratio(parts):
        ...     return parts["right"] / parts["known"]
        >>> rows = Totals({"right": jnp.array([1.0, 0.0, 0.0]), "known": jnp.array([1.0, 1.0, 0.0])}, ratio)
        >>> float(rows.added().result())
        0.5
    """

    parts: Parts
    divide: Callable[[Parts], jax.Array] = struct.field(pytree_node=False)

    def weighted(self, weights: jax.Array) -> "Totals":
        """Returns the rows times weights (batch,); rows of weight 0 may hold anything, nan included."""

        def times(rows: jax.Array) -> jax.Array:
            own = weights.reshape(-1, *[1] * (rows.ndim - 1))
            return jnp.where(own != 0, rows, 0) * own

        return Totals(jax.tree.map(times, self.parts), self.divide)

    def added(self) -> "Totals":
        """Returns the sum over all rows."""
        return Totals(jax.tree.map(lambda rows: jnp.sum(rows, axis=0), self.parts), self.divide)

    def result(self) -> jax.Array:
        """Returns the metric, (), of parts that have been added up."""
        return self.divide(self.parts)


def measure(metric: Callable[..., Any], outputs: Any, targets: Any, weights: Any = None) -> jax.Array:
    """Returns a metric of one batch alone, (): the weighted mean of its values, or what its totals give.

    Examples:
        >>> import jax.numpy as jnp
        >>> print(measure(recall, jnp.array([2.0, -1.0, 3.0]), jnp.array([1, 1, 0])))
        0.5
    """
    values = metric(outputs, targets)
    rows = values if isinstance(values, Totals) else mean_of(values, jnp.ones(jnp.shape(values)))
    return (rows if weights is None else rows.weighted(weights)).added().result()


def mean_of(values: jax.Array, weights: jax.Array) -> Totals:
    """Returns the totals of a weighted mean of values (batch,): 0 if nothing has any weight."""
    return Totals({"sum": values * weights, "weight": weights}, _mean)


def _mean(parts: Parts) -> jax.Array:
    return ratio(parts["sum"], parts["weight"])


def ratio(part: jax.Array, whole: jax.Array) -> jax.Array:
    """Returns part / whole, 0 where the whole is 0, as Keras and scikit-learn do."""
    return jnp.where(whole == 0, 0, part / jnp.where(whole == 0, 1, whole))


def _decided(outputs: jax.Array, targets: jax.Array, threshold: float | None) -> tuple[jax.Array, jax.Array]:
    """Returns what was predicted and what is true, booleans (batch, ..., classes)."""
    outputs, targets = jnp.asarray(outputs), jnp.asarray(targets)
    classes = lax.broadcasted_iota(jnp.int32, outputs.shape, outputs.ndim - 1)
    if targets.ndim == outputs.ndim - 1:
        if targets.shape != outputs.shape[:-1] or not jnp.issubdtype(targets.dtype, jnp.integer):
            raise UserError(
                f"labels of shape {targets.shape} and type {targets.dtype} do not fit outputs of shape "
                f"{outputs.shape}: they must be whole numbers of shape {outputs.shape[:-1]}"
            )
        threshold, true = None, targets[..., None] == classes
    else:
        same_shape(outputs, targets)
        true = targets > 0.5
    if threshold is not None:
        return outputs > threshold, true
    return jnp.argmax(outputs, axis=-1)[..., None] == classes, true


def _counts(outputs: jax.Array, targets: jax.Array, threshold: float | None) -> Parts:
    """Returns how often each class was found, found wrongly and missed in each example, (batch, classes)."""
    predicted, true = _decided(outputs, targets, threshold)
    if predicted.ndim == 1:
        predicted, true = predicted[:, None], true[:, None]
    cases = {"hits": predicted & true, "false": predicted & ~true, "missed": ~predicted & true}
    axes = tuple(range(1, predicted.ndim - 1))
    return {name: jnp.sum(case, axis=axes, dtype=jnp.float32) for name, case in cases.items()}


def _precision(parts: Parts) -> jax.Array:
    return ratio(parts["hits"], parts["hits"] + parts["false"])


def _recall(parts: Parts) -> jax.Array:
    return ratio(parts["hits"], parts["hits"] + parts["missed"])


def _f1(parts: Parts) -> jax.Array:
    return ratio(2 * parts["hits"], 2 * parts["hits"] + parts["false"] + parts["missed"])


def _micro(score: Callable[[Parts], jax.Array], parts: Parts) -> jax.Array:
    return score({name: jnp.sum(counts) for name, counts in parts.items()})


def _macro(score: Callable[[Parts], jax.Array], parts: Parts) -> jax.Array:
    return jnp.mean(score(parts))


def _by_support(score: Callable[[Parts], jax.Array], parts: Parts) -> jax.Array:
    support = parts["hits"] + parts["missed"]
    return ratio(jnp.sum(score(parts) * support), jnp.sum(support))


AVERAGES = {"micro": _micro, "macro": _macro, "weighted": _by_support}
# Made once: a function that is equal to none but itself would make another program of every step.
_DIVIDE: dict[Any, Callable[[Parts], jax.Array]] = {
    (score, average): partial(AVERAGES[average], score)
    for score in (_precision, _recall, _f1)
    for average in AVERAGES
}


def _score(
    score: Callable[[Parts], jax.Array],
    outputs: jax.Array,
    targets: jax.Array,
    threshold: float | None,
    average: str,
) -> Totals:
    if average not in AVERAGES:
        raise UserError(f"average {average!r}: it must be one of {', '.join(AVERAGES)}")
    return Totals(_counts(outputs, targets, threshold), _DIVIDE[score, average])


def precision(
    outputs: jax.Array, targets: jax.Array, threshold: float | None = 0.0, average: str = "micro"
) -> Totals:
    """Returns the totals of the precision: how much of what was found is right, hits / (hits + false).

    Args:
        outputs: Logits, (batch,) or (batch, ..., classes).
        targets: 0 and 1, of the outputs' shape; or labels, (batch, ...) integers, and then the class with the
            largest output is the one that is found.
        threshold: Outputs above it are found: by default 0, the logit of a half; give 0.5 for probabilities.
            None finds the class with the largest output.
        average: "micro", counts of all classes together; "macro", the mean of the classes' scores; or
            "weighted", that mean weighted by how often each class occurs. With one class they are the same.

    Raises:
        UserError: If the shapes do not fit, or `average` has another name.
    """
    return _score(_precision, outputs, targets, threshold, average)


def recall(
    outputs: jax.Array, targets: jax.Array, threshold: float | None = 0.0, average: str = "micro"
) -> Totals:
    """Returns the totals of the recall: how much of what is there was found, hits / (hits + missed).

    The arguments are those of `precision`.
    """
    return _score(_recall, outputs, targets, threshold, average)


def f1_score(
    outputs: jax.Array, targets: jax.Array, threshold: float | None = 0.0, average: str = "micro"
) -> Totals:
    """Returns the totals of F1, the harmonic mean of both: 2 hits / (2 hits + false + missed).

    The arguments are those of `precision`.
    """
    return _score(_f1, outputs, targets, threshold, average)


def mean_iou(logits: jax.Array, labels: jax.Array, ignore_class: int | None = None) -> Totals:
    """Returns the totals of the mean, over the classes that occur, of hits / (hits + false + missed).

    A class occurs if it is in the labels or was predicted.

    Args:
        logits: (batch, ..., classes); the largest is the class predicted.
        labels: (batch, ...) integers; a pixel whose label is no class, such as 255, is not counted.
        ignore_class: The class of pixels that are not counted either. By default all others are.
    """
    predicted, true = _decided(logits, labels, None)
    true = true & (jnp.asarray(labels) != ignore_class)[..., None] if ignore_class is not None else true
    predicted = predicted & jnp.any(true, axis=-1, keepdims=True)
    axes = tuple(range(1, predicted.ndim - 1))
    both = {"shared": predicted & true, "covered": predicted | true}
    parts = {name: jnp.sum(case, axis=axes, dtype=jnp.float32) for name, case in both.items()}
    return Totals(parts, _mean_iou)


def _mean_iou(parts: Parts) -> jax.Array:
    each = ratio(parts["shared"], parts["covered"])
    return ratio(jnp.sum(each), jnp.sum(parts["covered"] > 0))
