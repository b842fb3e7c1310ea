"""Callbacks of `fit`: the base class, and those that need nothing but the records.

Their decisions are pure functions of the records so far, so a resumed run makes the same ones: there is
nothing to save or lose.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnets.errors import UserError
from jaxnets.train.monitor import History, Mode, improvements, is_measured, sign_of
from jaxnets.train.state import TrainState


class Callback:
    """Base class of what `fit` calls at certain moments; override the methods that you need.

    Attributes:
        monitor: A metric that the records must hold, such as "val_loss"; `fit` refuses to start if they will
            not. Default: None, no metric is needed.
    """

    monitor: str | None = None

    def on_train_begin(self, state: TrainState, history: History) -> None:
        """Called once, before the first step of this call of `fit`."""

    def on_epoch_begin(self, state: TrainState, history: History) -> None:
        """Called before the first step of an epoch, and when a run resumes in the middle of one."""

    def on_step_end(self, state: TrainState, sums: Mapping[str, jax.Array]) -> None:
        """Called after every call of the compiled step, with the sums of the epoch so far, on the device."""

    def record(self, state: TrainState) -> Mapping[str, float]:
        """Returns additional entries for the record of the epoch that has just ended."""
        return {}

    def on_epoch_end(self, state: TrainState, history: History) -> TrainState | None:
        """Called after an epoch is recorded; may return another state of the same shapes to continue with."""

    def should_stop(self, history: History) -> bool:
        """Returns whether to stop before the next epoch; called after every epoch and when a run resumes."""
        return False

    def on_train_end(self, state: TrainState, history: History) -> None:
        """Called once, after the last epoch."""


@dataclasses.dataclass(frozen=True)
class EarlyStopping(Callback):
    """Stops when a metric has not improved for a number of epochs, as in Keras.

    To continue with the best state rather than the last, pass ``keep=Keep(best=..., restore_best=True)``.

    Attributes:
        monitor: The metric to watch. Default: "val_loss".
        patience: Epochs without improvement after which to stop; 0 and 1 both stop at the first epoch that is
            not better, as in Keras. Default: 0.
        mode: Whether lower ("min") or higher ("max") is better; "auto", the default, goes by its name.
        min_delta: Only a change greater than this counts as an improvement. Default: 0.

    Raises:
        UserError: If the mode is "auto" and the metric's name does not imply one.

    Examples:
        >>> records = [{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.6}]
        >>> EarlyStopping("val_loss", patience=1).should_stop(records)
        True
    """

    monitor: str = "val_loss"
    patience: int = 0
    mode: Mode = "auto"
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        sign_of(self.monitor, self.mode)

    def should_stop(self, history: History) -> bool:
        """See `Callback`."""
        if not history or not is_measured(self.monitor, history):
            return False
        best = improvements(history, self.monitor, self.mode, self.min_delta)[-1]
        waited = sum(self.monitor in record for record in history[best + 1 :])
        return waited >= max(self.patience, 1)


@dataclasses.dataclass(frozen=True)
class ReduceOnPlateau(Callback):
    """Multiplies the learning rate by a factor when a metric stops improving, as in Keras.

    The optimizer's state must hold the rate: ``optax.inject_hyperparams(optim.adam)(learning_rate=1e-3)``.

    Attributes:
        monitor: The metric to watch. Default: "val_loss".
        factor: What the rate is multiplied by. Default: 0.1.
        patience: Epochs without improvement after which to reduce the rate. Default: 10.
        mode: Whether lower ("min") or higher ("max") is better; "auto", the default, goes by its name.
        min_delta: Only a change greater than this counts as an improvement. Default: 1e-4.
        minimum: The lowest learning rate. Default: 0.

    Raises:
        UserError: If the mode is "auto" and the metric's name does not imply one; during training, if the
            optimizer's state does not hold the learning rate.
    """

    monitor: str = "val_loss"
    factor: float = 0.1
    patience: int = 10
    mode: Mode = "auto"
    min_delta: float = 1e-4
    minimum: float = 0.0

    def __post_init__(self) -> None:
        sign_of(self.monitor, self.mode)

    def on_epoch_end(self, state: TrainState, history: History) -> TrainState | None:
        """See `Callback`."""
        if not is_measured(self.monitor, history):
            return None
        if self._reductions(history) == self._reductions(history[:-1]):
            return None
        rate = optax.tree_utils.tree_get(state.opt_state, "learning_rate")
        if rate is None:
            raise UserError(
                "ReduceOnPlateau needs the learning rate in the optimizer's state: wrap the optimizer in "
                "optax.inject_hyperparams"
            )
        new = jnp.maximum(rate * self.factor, self.minimum).astype(rate.dtype)
        reduced = optax.tree_utils.tree_set(state.opt_state, learning_rate=new)
        return dataclasses.replace(state, opt_state=reduced)

    def _reductions(self, history: History) -> int:
        """How often the rate has been reduced: after every `patience` epochs without improvement."""
        sign, best, wait, count = sign_of(self.monitor, self.mode), float("inf"), 0, 0
        for value in (sign * record[self.monitor] for record in history if self.monitor in record):
            if value < best - self.min_delta:
                best, wait = value, 0
            else:
                wait += 1
                if wait >= self.patience:
                    wait, count = 0, count + 1
        return count


@dataclasses.dataclass(frozen=True)
class RecordLearningRate(Callback):
    """Adds "learning_rate" to every record.

    Attributes:
        learning_rate: A number, or an Optax schedule: a function of the number of steps taken.
    """

    learning_rate: float | Callable[[int], Any]

    def record(self, state: TrainState) -> Mapping[str, float]:
        """See `Callback`."""
        rate = self.learning_rate
        return {"learning_rate": float(rate(int(state.step)) if callable(rate) else rate)}


def call(callbacks: Sequence[Callback], moment: str, state: TrainState, seen: Any) -> TrainState:
    """Calls one method of every callback in turn and returns the state to continue with.

    Raises:
        UserError: If a method returned anything but None; "on_epoch_end" may return a state, of the same
            shapes and dtypes.
    """
    for callback in callbacks:
        returned = getattr(callback, moment)(state, seen)
        if returned is None:
            continue
        if moment != "on_epoch_end" or not isinstance(returned, TrainState):
            raise UserError(
                f"{type(callback).__name__}.{moment} returned {type(returned).__name__}: only on_epoch_end "
                "may return something, a TrainState to continue with"
            )
        if _layout(returned) != _layout(state):
            raise UserError(
                f"{type(callback).__name__}.on_epoch_end returned a state of other shapes or dtypes than the "
                "one it was given: the compiled step cannot continue with it"
            )
        state = returned
    return state


def _layout(state: TrainState) -> Any:
    leaves, structure = jax.tree.flatten(state)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]
