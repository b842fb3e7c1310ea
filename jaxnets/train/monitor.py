"""Metrics to watch: which way is better, whether they are measured, and when they were best so far."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxnets.errors import UserError

History = Sequence[Mapping[str, Any]]
Mode = Literal["auto", "min", "max"]

LESS = ("loss", "error", "entropy", "huber", "mse", "mae", "rmse", "mape", "perplexity", "distance")
MORE = ("accuracy", "acc", "precision", "recall", "top", "auc", "map", "f1", "iou", "dice", "r2", "score")


def sign_of(monitor: str, mode: Mode = "auto") -> int:
    """Returns 1 where less of a metric is better, -1 where more is; "auto" goes by the words of its name.

    Raises:
        UserError: the name does not tell.
    """
    if mode != "auto":
        return {"min": 1, "max": -1}[mode]
    words = [word for word in re.split(r"[^a-z0-9]|(?<=top)[0-9]+", monitor.lower()) if word]
    less, more = (any(word in table for word in words) for table in (LESS, MORE))
    if less == more:
        raise UserError(f"whether less or more {monitor!r} is better, its name does not tell: say min or max")
    return 1 if less else -1


def is_measured(monitor: str, history: History) -> bool:
    """Whether the last record has it; not so in an epoch without validation.

    Raises:
        UserError: no record has it, and none will.
    """
    validated = [record for record in history if any(name.startswith("val_") for name in record)]
    known = {name for record in history for name in record}
    if monitor not in known and (validated or not monitor.startswith("val_")):
        names = ", ".join((validated or history)[-1])
        raise UserError(f"{monitor!r} is not measured; what is: {names}")
    return monitor in history[-1]


def check_measured(monitors: Sequence[str | None], names: Sequence[str]) -> None:
    """Raises UserError where one of the metrics to watch is not among those that there will be."""
    for monitor in monitors:
        if monitor is None or monitor in names:
            continue
        if monitor.startswith("val_") and not any(name.startswith("val_") for name in names):
            raise UserError(f"{monitor!r} is not measured: give validation=, or watch another")
        raise UserError(f"{monitor!r} is not measured; what is: {', '.join(names)}")


def improvements(history: History, monitor: str, mode: Mode = "auto", min_delta: float = 0.0) -> list[int]:
    """Returns the numbers of the records that were the best so far, the last one being the best of all.

    Args:
        history: A record an epoch; records without `monitor` (epochs without validation) are passed over.
        monitor: What to judge by: "val_loss", "loss", "val_accuracy", ...
        mode: Whether less ("min") or more ("max") is better; "auto": by the name, where that tells.
        min_delta: What counts as better must be better by more than this.

    Raises:
        UserError: no record has it, or its name does not tell the mode.

    Examples:
        >>> improvements([{"loss": 3.0}, {"loss": 2.0}, {"loss": 2.5}], "loss")
        [0, 1]
    """
    sign = sign_of(monitor, mode)
    measured = [
        (number, sign * record[monitor]) for number, record in enumerate(history) if monitor in record
    ]
    if history and not measured:
        raise UserError(f"{monitor!r} is not measured; what is: {', '.join(history[-1])}")
    best = float("inf")
    found: list[int] = []
    for number, value in measured:
        if value < best - min_delta or not found:
            best = min(best, value)  # a nan at the start leaves it infinite
            found.append(number)
    return found
