"""The area under a curve, and how much of the targets' spread is explained."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import UserError
from jaxnets.metrics.examples import same_shape
from jaxnets.metrics.totals import Parts, Totals, ratio


def auc(
    outputs: jax.Array,
    targets: jax.Array,
    curve: str = "roc",
    num_thresholds: int = 200,
    from_logits: bool = True,
) -> Totals:
    """Returns the totals of the area under a curve that is sampled at evenly spaced thresholds.

    The outputs are sorted into bins between the thresholds, and the area between two points of the curve is
    that of a trapezoid for "roc" and Davis and Goadrich's (ICML 2006) for "pr", as in Keras.

    Args:
        outputs: Logits, or probabilities, (batch, ...); all outputs count as one class.
        targets: 0 and 1, of the same shape.
        curve: "roc", hits over false alarms; or "pr", precision over recall.
        num_thresholds: Number of thresholds, 0 and 1 among them.
        from_logits: Whether the outputs are logits. By default they are.

    Raises:
        UserError: If the shapes differ, `curve` has another name, or there are fewer than 2 thresholds.

    Examples:
        >>> from jaxnets.metrics import measure
        >>> scores, targets = jnp.array([-2.0, -1.0, 1.0, 2.0]), jnp.array([0, 1, 0, 1])
        >>> print(measure(auc, scores, targets))
        0.75
    """
    same_shape(outputs, targets)
    if curve not in CURVES or num_thresholds < 2:
        raise UserError(
            f"auc of curve {curve!r} with {num_thresholds} thresholds: the curve must be one of "
            f"{', '.join(CURVES)}, and there must be 2 thresholds or more"
        )
    p = jnp.asarray(outputs, jnp.float32)  # thresholds in the type of whole numbers would all be 0
    p = jax.nn.sigmoid(p) if from_logits else p
    p, true = p.reshape(len(p), -1), jnp.asarray(targets).reshape(len(p), -1) > 0.5
    # Keras's thresholds: those at the ends lie beyond all probabilities.
    inner = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
    thresholds = jnp.asarray([-1e-7, *inner, 1 + 1e-7], p.dtype)
    above = p[..., None] > thresholds[None, None]
    parts = {
        "hits": jnp.sum(above & true[..., None], axis=1, dtype=jnp.float32),
        "false": jnp.sum(above & ~true[..., None], axis=1, dtype=jnp.float32),
        "positive": jnp.sum(true, axis=1, dtype=jnp.float32),
        "negative": jnp.sum(~true, axis=1, dtype=jnp.float32),
    }
    return Totals(parts, CURVES[curve])


def _roc(parts: Parts) -> jax.Array:
    height, width = ratio(parts["hits"], parts["positive"]), ratio(parts["false"], parts["negative"])
    return jnp.sum((width[:-1] - width[1:]) * (height[:-1] + height[1:]) / 2)


def _pr(parts: Parts) -> jax.Array:
    hits, found = parts["hits"], parts["hits"] + parts["false"]
    gained = hits[:-1] - hits[1:]
    slope = ratio(gained, jnp.maximum(found[:-1] - found[1:], 0))  # less than 0 with negative weights only
    intercept = hits[1:] - slope * found[1:]
    both = (found[:-1] > 0) & (found[1:] > 0)
    growth = jnp.where(both, found[:-1] / jnp.where(both, found[1:], 1), 1)
    return jnp.sum(ratio(slope * (gained + intercept * jnp.log(growth)), jnp.maximum(parts["positive"], 0)))


CURVES = {"roc": _roc, "pr": _pr}


def r2_score(predictions: jax.Array, targets: jax.Array) -> Totals:
    """Returns the totals of R2, 1 - sum(error^2) / sum((target - mean)^2), averaged over the outputs.

    It is 1 for perfect predictions and 0 for those of the mean. Predictions and targets are (batch, ...).
    """
    same_shape(predictions, targets)
    wide = jnp.promote_types(jnp.result_type(predictions, targets), jnp.float32)
    y, t = (jnp.asarray(rows, wide).reshape(len(rows), -1) for rows in (predictions, targets))
    parts = {"count": jnp.ones_like(t), "sum": t, "squares": jnp.square(t), "errors": jnp.square(y - t)}
    return Totals(parts, _r2)


def _r2(parts: Parts) -> jax.Array:
    spread = parts["squares"] - ratio(jnp.square(parts["sum"]), parts["count"])
    return jnp.mean(jnp.where(spread == 0, 0, 1 - ratio(parts["errors"], spread)))
