"""Evaluating a network on examples that it does not learn from."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxnets.data.device import AnyBatches, OnDevice, on_device
from jaxnets.errors import UserError, expect, whole
from jaxnets.machine.distributed import wait_on_cpus
from jaxnets.train.misfit import explained
from jaxnets.train.state import TrainState
from jaxnets.train.step import EvalStep
from jaxnets.train.sums import means, metric_names


@dataclasses.dataclass(frozen=True)
class Validation:
    """How `fit` evaluates the network: a step, batches and how often.

    Attributes:
        step: A pure step, as `make_eval_step` returns it.
        batches: The examples: `Batches`, or any iterable of batches (`jaxnets.data.iterables`).
        every: Number of epochs between evaluations; the last epoch is always evaluated. Default: 1.
        variables: Function from a state to the variables to evaluate, an average of the weights for instance.
            They are saved beside the state, and `load_run` (predict, evaluate, export) uses them. By default
            the state's own.

    Raises:
        UserError: If `every` is not positive.
    """

    step: EvalStep
    batches: AnyBatches
    every: int = 1
    variables: Callable[[TrainState], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        whole("validation every", self.every, least=1)

    def variables_of(self, state: TrainState) -> Mapping[str, Any]:
        """Returns the variables of a state that are evaluated."""
        return state.variables if self.variables is None else self.variables(state)


def evaluate(
    eval_step: EvalStep,
    variables: Mapping[str, Any],
    batches: AnyBatches,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Returns the means of the loss and the metrics over all examples, each counted once.

    Args:
        eval_step: A pure step, as `make_eval_step` returns it, compiled by `jax.jit`.
        variables: The variables to evaluate, as `model.apply` takes them.
        batches: The examples: `Batches`, or any iterable of batches (`jaxnets.data.iterables`).
        check: Called after every batch; it may raise to stop.

    Raises:
        UserError: If there are no batches, or the variables are not a mapping.
    """
    expect("variables", variables, Mapping, "those of a state, state.variables")
    sums: Any = None
    placed = batches if isinstance(batches, OnDevice) else on_device(batches)
    for batch in placed.epoch():
        with explained("the evaluation step", batch):
            some = eval_step(variables, batch)
        sums = some if sums is None else jax.tree.map(jnp.add, sums, some)
        wait_on_cpus(sums, placed.mesh)
        check()
    if sums is None:
        raise UserError("there is nothing to evaluate on: the batches are empty")
    return means(sums)


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """A `Validation` with its batches on the device and its step compiled; does nothing without one."""

    validation: Validation | None
    batches: OnDevice | None = None
    step: Any = None

    @classmethod
    def make(cls, validation: Validation | None, mesh: Mesh | None) -> "Evaluator":
        if validation is None:
            return cls(None)
        return cls(validation, on_device(validation.batches, mesh=mesh), jax.jit(validation.step))

    def names(self, state: TrainState) -> list[str]:
        """Returns the names of the metrics that the records will hold, without computing any."""
        if self.validation is None or self.batches is None:
            return []
        batch = first_of(self.batches, "evaluate on")
        with explained("the evaluation step", batch):
            sums = jax.eval_shape(self.step, self.validation.variables_of(state), batch)
        return [f"val_{name}" for name in metric_names(sums)]

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Returns whether to evaluate after an epoch, counted from 1."""
        return self.validation is not None and (epoch % self.validation.every == 0 or epoch == epochs)

    def __call__(self, state: TrainState, check: Callable[[], None]) -> dict[str, float]:
        """Returns the metrics by name ("val_loss", ...)."""
        assert self.validation is not None
        assert self.batches is not None
        found = evaluate(self.step, self.validation.variables_of(state), self.batches, check)
        return {f"val_{name}": value for name, value in found.items()}


def first_of(batches: OnDevice, purpose: str) -> Any:
    """Returns the first batch, for its shapes; raises UserError if there is none."""
    for batch in batches.epoch():
        return batch
    raise UserError(f"there is nothing to {purpose}: the batches are empty")
