"""Decisions taken after an epoch, as pure functions of the records so far: nothing to save or to lose."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import optax

from jaxnets.errors import UserError
from jaxnets.train.state import TrainState

History = Sequence[Mapping[str, Any]]
Mode = Literal["min", "max"]


def mode_of(monitor: str) -> Mode:
    """Whether more of it is better ("max": anything named accuracy) or less ("min": losses and errors)."""
    return "max" if "accuracy" in monitor or "map" in monitor.lower().split("_") else "min"


def improvements(
    history: History, monitor: str, mode: Mode | None = None, min_delta: float = 0.0
) -> list[int]:
    """Returns the numbers of the records that were the best so far, the last one being the best of all.

    Args:
        history: a record an epoch; records without `monitor` (epochs without validation) are passed over.
        monitor: what to judge by: "val_loss", "loss", "val_accuracy", ...
        mode: whether less or more is better; by the name when left out.
        min_delta: what counts as better must be better by more than this.

    Raises:
        UserError: no record has it.

    Example:
        >>> improvements([{"loss": 3.0}, {"loss": 2.0}, {"loss": 2.5}], "loss")
        [0, 1]
    """
    sign = 1 if (mode or mode_of(monitor)) == "min" else -1
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


def early_stopping(
    monitor: str = "val_loss", patience: int = 0, mode: Mode | None = None, min_delta: float = 0.0
) -> Callable[[History], bool]:
    """Returns a function of the history: whether `monitor` has not improved for `patience` epochs (Keras).

    As Keras counts, patience 0 and 1 both stop at the first epoch that is not better.
    """

    def stop(history: History) -> bool:
        if monitor not in history[-1]:
            return False  # an epoch without validation
        best = improvements(history, monitor, mode, min_delta)[-1]
        waited = sum(monitor in record for record in history[best + 1 :])
        return waited >= max(patience, 1)

    return stop


def reduce_on_plateau(
    monitor: str = "val_loss",
    factor: float = 0.1,
    patience: int = 10,
    mode: Mode | None = None,
    min_delta: float = 1e-4,
    minimum: float = 0.0,
) -> Callable[[TrainState, History], TrainState]:
    """Returns an epoch_end callback that multiplies the rate by `factor` when `monitor` stays (Keras).

    The optimizer must carry its rate: `optax.inject_hyperparams(optim.adam)(learning_rate=1e-3)`.
    """

    def reductions(history: History) -> int:
        """How often the rate has been reduced: after every `patience` epochs without improvement."""
        sign = 1 if (mode or mode_of(monitor)) == "min" else -1
        best, wait, count = float("inf"), 0, 0
        for value in (sign * record[monitor] for record in history if monitor in record):
            if value < best - min_delta:
                best, wait = value, 0
            else:
                wait += 1
                if wait >= patience:
                    wait, count = 0, count + 1
        return count

    def reduce(state: TrainState, history: History) -> TrainState:
        times = reductions(history) - reductions(history[:-1])
        if not times:
            return state
        rate = optax.tree_utils.tree_get(state.opt_state, "learning_rate")
        if rate is None:
            raise UserError(
                "reduce_on_plateau needs the learning rate in the optimizer's state: wrap the optimizer in "
                "optax.inject_hyperparams"
            )
        new = jnp.maximum(rate * factor, minimum).astype(rate.dtype)
        return dataclasses.replace(
            state, opt_state=optax.tree_utils.tree_set(state.opt_state, learning_rate=new)
        )

    return reduce
