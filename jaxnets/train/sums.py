"""What a step adds up, and how it is divided at the end: sums, counts and `metrics.Totals`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jaxnets import losses
from jaxnets.errors import UserError
from jaxnets.metrics import Totals, mean_of

Batch = Mapping[str, jax.Array]
Sums = dict[str, Any]
SUMS = ("loss", "count", "weight")  # what a step returns besides the metrics


class PerExample(Protocol):
    """A loss or a metric: maps the network's outputs and the targets to one value per example, float32 (B,).

    Outputs and targets are arrays (B, ...), or dicts of them if the network has several heads. What is no
    mean over the examples returns rows of what is added up instead: `losses.Weighted` or `metrics.Totals`.
    """

    def __call__(self, outputs: Any, targets: Any, /) -> Any: ...


def means(sums: Mapping[str, Any]) -> dict[str, float]:
    """Returns every sum divided by the count: {"loss": ..., "accuracy": ...}, floats, nan if that is 0.

    A loss with weights of its own is divided by their sum, and `metrics.Totals` as they say.
    """
    count = float(sums["count"]) or float("nan")
    divisor = float(sums.get("weight", 1)) or float("nan")
    found = {}
    for name in metric_names(sums):
        if isinstance(sums[name], Totals):
            found[name] = float(sums[name].result()) + 0 * count
        else:
            whole = divisor + 0 * count if name == "loss" and "weight" in sums else count
            found[name] = float(sums[name]) / whole
    return found


def mean_of_sums(sums: Mapping[str, Any], name: str) -> jax.Array:
    """Returns one of `means` as a traced number, ()."""
    if isinstance(sums[name], Totals):
        return sums[name].result() + 0 * sums["count"]
    return sums[name] / sums["weight" if name == "loss" and "weight" in sums else "count"]


def metric_names(sums: Mapping[str, Any]) -> list[str]:
    """Returns the names of the metrics: "loss", then the others in alphabetical order."""
    return ["loss", *sorted(sums.keys() - {*SUMS})]


@dataclasses.dataclass(frozen=True)
class Measured:
    """(outputs, targets, batch) -> sums of the loss and the metrics over the batch's examples of mask 1."""

    loss: PerExample
    metrics: Mapping[str, PerExample]
    weighted_metrics: Mapping[str, PerExample]
    reduction: str = "sum_over_batch_size"

    def __post_init__(self) -> None:
        if self.reduction not in ("sum_over_batch_size", "mean_with_sample_weight"):
            raise UserError(
                f"reduction {self.reduction!r} of a step: it must be sum_over_batch_size or "
                "mean_with_sample_weight"
            )
        names = [*self.metrics, *self.weighted_metrics]
        if taken := sorted({name for name in names if names.count(name) > 1 or name in SUMS}):
            raise UserError(f"a metric called {taken[0]!r}: another sum has that name; choose another")

    def __call__(self, outputs: Any, targets: Any, batch: Batch) -> Sums:
        mask, weights = batch["mask"], batch.get("weights")
        values: dict[str, Any] = {"loss": losses.weigh(self.loss, outputs, targets, weights)}
        divisor = None
        if isinstance(values["loss"], losses.Weighted):
            values["loss"], divisor = values["loss"]
        elif self.reduction == "mean_with_sample_weight":
            divisor = _mean_weights(weights, mask)
        values |= {name: metric(outputs, targets) for name, metric in self.metrics.items()}
        for name, metric in self.weighted_metrics.items():
            own, rows = _example_weights(weights, mask), metric(outputs, targets)
            values[name] = rows.weighted(own) if isinstance(rows, Totals) else mean_of(rows, own)
        sums = {name: _added(value, mask) for name, value in values.items()}
        if divisor is not None:
            sums["weight"] = _added(divisor, mask)
        return {**sums, "count": jnp.sum(mask)}


def _added(rows: Any, mask: jax.Array) -> Any:
    if isinstance(rows, Totals):
        return rows.weighted(mask).added()
    # `where`, not a product: a padding row may hold anything, nan included
    return jnp.sum(jnp.where(mask > 0, rows, 0) * mask)


def _mean_weights(weights: Any, mask: jax.Array) -> jax.Array:
    """Returns the mean weight of each example's positions, (B,)."""
    if weights is None:
        return jnp.ones_like(mask)
    if isinstance(weights, Mapping):
        raise UserError("weights of several heads: they need reduction sum_over_batch_size")
    return jnp.mean(weights, axis=tuple(range(1, weights.ndim)))


def _example_weights(weights: Any, mask: jax.Array) -> jax.Array:
    """Returns the weights of the examples, (B,); refuses those of positions."""
    if weights is None:
        return jnp.ones_like(mask)
    if jnp.ndim(weights) != 1:
        raise UserError(
            f"weighted_metrics with weights of shape {jnp.shape(weights)}: a metric needs one per example"
        )
    return weights


def nonzero(total: jax.Array) -> jax.Array:
    """Returns the total, or 1 instead of 0, to divide by."""
    return jnp.where(total == 0, 1, total)
