"""Schedules by the words of a command line: a name, and NAME=VALUE for arguments."""

import inspect
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from optax import Schedule

from jaxnets.errors import UserError, lookup, reason
from jaxnets.schedules.rates import SCHEDULES


def takes_rate(name: str) -> bool:
    """Returns whether a schedule's first argument is the learning rate that it begins with or rises to.

    Raises:
        UserError: If there is no such schedule.
    """
    first, *_ = inspect.signature(lookup(SCHEDULES, name, "schedule")).parameters.values()
    return first.annotation is float


def complete(words: Sequence[str], steps: int) -> tuple[str, ...]:
    """Returns the words of a schedule with its decay_steps, where it needs them and they are not among them.

    The decay then takes what is left of the run after a warm-up.

    Args:
        words: The schedule on a command line: its name and NAME=VALUE for arguments (see `parse`).
        steps: Number of updates in the run.

    Raises:
        UserError: If there is no such schedule, or the warm-up leaves nothing of the run.

    Examples:
        >>> complete(["warmup_cosine", "warmup_steps=10"], 100)
        ('warmup_cosine', 'warmup_steps=10', 'decay_steps=90')
    """
    name, *given = words
    arguments = _arguments(name, given)
    known = inspect.signature(SCHEDULES[name]).parameters
    needs = "decay_steps" in known and known["decay_steps"].default is inspect.Parameter.empty
    if not needs or "decay_steps" in arguments:
        return tuple(words)
    left = steps - int(arguments.get("warmup_steps", 0))
    if left < 1:
        raise UserError(f"--schedule {' '.join(words)}: the run has {steps} updates, which leaves no decay")
    return (*words, f"decay_steps={left}")


def parse(words: Sequence[str], learning_rate: float | None, steps: int) -> Schedule:
    """Returns the schedule named on a command line: ["warmup_cosine", "warmup_steps=90"].

    Args:
        words: Its name, and NAME=VALUE for each of its arguments but the learning rate; several values are
            separated by commas.
        learning_rate: The learning rate that it begins with or rises to; None if it has none (`takes_rate`).
        steps: Number of updates in the run, in which the rate must be a number from 0 on, and more than 0 at
            times.

    Raises:
        UserError: If there is no such schedule or argument, a value is wrong, or the rate is.

    Examples:
        >>> schedule = parse(["piecewise_constant", "boundaries=10", "values=0.1,0.01"], None, 100)
        >>> print(f"{schedule(10):.2f} {schedule(11):.2f}")
        0.10 0.01
    """
    name, *given = words
    said, arguments = f"--schedule {' '.join(words)}", _arguments(name, given)
    rates = [learning_rate] if takes_rate(name) else []
    try:
        schedule = SCHEDULES[name](*rates, **arguments)
    except TypeError as error:
        raise UserError(f"{said}: {reason(error)}; give each as NAME=VALUE") from error
    except UserError as error:
        raise UserError(f"{said}: {error}") from error
    points = np.unique(np.linspace(0, max(steps - 1, 0), 1000).astype(int))
    values = np.broadcast_to(np.asarray(schedule(jnp.asarray(points))), points.shape)
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise UserError(
            f"{said}: the learning rate after {points[wrong][0]} updates is {values[wrong][0]}: "
            "it must always be a number from 0 on"
        )
    if not values.any():
        raise UserError(f"{said}: the learning rate is always 0: nothing would be learned")
    return schedule


def _arguments(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Returns the arguments of a schedule by name."""
    known = dict(inspect.signature(lookup(SCHEDULES, name, "schedule")).parameters)
    if takes_rate(name):
        known.pop(next(iter(known)))
    found = {}
    for word in words:
        key, _, text = word.partition("=")
        kind = lookup(known, key, f"argument of {name}").annotation
        if key in found:
            raise UserError(f"--schedule {name}: {key} is given twice")
        try:
            found[key] = _value(kind, text)
        except ValueError as error:
            raise UserError(f"--schedule {name} {word}: give {KINDS[kind]} as {key}=VALUE") from error
    return found


KINDS: dict[Any, str] = {
    int: "a whole number from 0 on",
    float: "a number from 0 on",
    bool: "true or false",
    list[int]: "whole numbers from 0 on, separated by commas,",
    list[float]: "numbers from 0 on, separated by commas,",
}


def _value(kind: Any, text: str) -> Any:
    if kind in (list[int], list[float]):
        return [_value(kind.__args__[0], part) for part in text.split(",")]
    if kind is bool:
        return bool(["false", "true"].index(text.lower()))
    number = kind(text)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number
