"""Monitored metrics: which direction is better, whether they are measured, and when they were best."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxnets.errors import UserError

History = Sequence[Mapping[str, Any]]
Mode = Literal["auto", "min", "max"]

LESS = ("loss", "error", "entropy", "huber", "mse", "mae", "rmse", "mape", "perplexity", "distance")
MORE = ("accuracy", "acc", "precision", "recall", "top", "auc", "map", "f1", "iou", "dice", "r2", "score")


def sign_of(monitor: str, mode: Mode = "auto") -> int:
    """Returns 1 if lower values of a metric are better, -1 if higher ones are; "auto" goes by its name.

    Raises:
        UserError: If `mode` is "auto" and the name does not imply one.
    """
    if mode != "auto":
        return {"min": 1, "max": -1}[mode]
    words = [word for word in re.split(r"[^a-z0-9]|(?<=top)[0-9]+", monitor.lower()) if word]
    less, more = (any(word in table for word in words) for table in (LESS, MORE))
    if less == more:
        raise UserError(f"the name {monitor!r} does not say whether less or more is better: say min or max")
    return 1 if less else -1


def is_measured(monitor: str, history: History) -> bool:
    """Returns whether the last record holds the metric; one of an epoch without validation may not.

    Raises:
        UserError: If no record holds it, and none will.
    """
    validated = [record for record in history if any(name.startswith("val_") for name in record)]
    known = {name for record in history for name in record}
    if monitor not in known and (validated or not monitor.startswith("val_")):
        names = ", ".join((validated or history)[-1])
        raise UserError(f"{monitor!r} is not measured; these are: {names}")
    return monitor in history[-1]


def check_measured(monitors: Sequence[str | None], names: Sequence[str]) -> None:
    """Raises UserError if a monitored metric is not among the names of those that will be measured."""
    for monitor in monitors:
        if monitor is None or monitor in names:
            continue
        if monitor.startswith("val_") and not any(name.startswith("val_") for name in names):
            raise UserError(f"{monitor!r} is not measured: give validation=, or monitor another metric")
        raise UserError(f"{monitor!r} is not measured; these are: {', '.join(names)}")


def improvements(history: History, monitor: str, mode: Mode = "auto", min_delta: float = 0.0) -> list[int]:
    """Returns the indices of the records that were the best so far, the last one being the best of all.

    Args:
        history: One record per epoch; records without `monitor` (epochs without validation) are skipped.
        monitor: The metric to compare by: "val_loss", "loss", "val_accuracy", ...
        mode: Whether lower ("min") or higher ("max") is better; "auto" goes by the metric's name.
        min_delta: Only a change greater than this counts as an improvement.

    Raises:
        UserError: If no record holds the metric, or the mode is "auto" and the name does not imply one.

    Examples:
        >>> improvements([{"loss": 3.0}, {"loss": 2.0}, {"loss": 2.5}], "loss")
        [0, 1]
    """
    sign = sign_of(monitor, mode)
    measured = [
        (number, sign * record[monitor]) for number, record in enumerate(history) if monitor in record
    ]
    if history and not measured:
        raise UserError(f"{monitor!r} is not measured; these are: {', '.join(history[-1])}")
    best = float("inf")
    found: list[int] = []
    for number, value in measured:
        if value < best - min_delta or not found:
            best = min(best, value)  # a nan at the start leaves it infinite
            found.append(number)
    return found
