"""Learning rate schedules: each function returns a schedule, step -> rate, with steps counted from 0."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from optax import Schedule

from jaxnets.errors import UserError, lookup, reason


def _real(step) -> jax.Array:
    """Returns the step as the default float: int32 / int would stay float32 when float64 is enabled."""
    return jnp.asarray(step, float)


def _check_steps(decay_steps: float) -> None:
    if not decay_steps > 0:
        raise UserError(f"a decay every {decay_steps} steps: it must be more than 0")


def _decays(step, decay_steps: float, staircase: bool) -> jax.Array:
    """Returns step / decay_steps, rounded down if `staircase`; exactly, unlike a rounded quotient."""
    return jnp.floor_divide(_real(step), decay_steps) if staircase else _real(step) / decay_steps


def exponential_decay(
    initial: float, decay_rate: float, decay_steps: float = 1, staircase: bool = False
) -> Schedule:
    """Returns initial * decay_rate^(step / decay_steps), with the exponent rounded down if `staircase`.

    Raises:
        UserError: If `decay_steps` is not positive.

    Examples:
        >>> print(f"{exponential_decay(0.2, 0.99)(39):.6f}")
        0.135146
    """
    _check_steps(decay_steps)

    def schedule(step):
        return initial * decay_rate ** _decays(step, decay_steps, staircase)

    return schedule


def time_decay(initial: float, decay: float, decay_steps: float = 1, staircase: bool = False) -> Schedule:
    """Returns initial / (1 + decay * step / decay_steps), with the fraction rounded down if `staircase`.

    This is Keras's InverseTimeDecay, and with `decay` alone the argument of its older optimizers.

    Raises:
        UserError: If `decay_steps` is not positive.
    """
    _check_steps(decay_steps)

    def schedule(step):
        return initial / (1 + decay * _decays(step, decay_steps, staircase))

    return schedule


def polynomial(
    initial: float, decay_steps: float, end: float = 1e-4, power: float = 1.0, cycle: bool = False
) -> Schedule:
    """Returns (initial - end) (1 - step / decay_steps)^power + end, and end after that, as PolynomialDecay.

    With `cycle`, decay_steps is replaced by its smallest multiple that is not less than the step, so that the
    rate jumps up and falls again, more slowly each time.

    Raises:
        UserError: If `decay_steps` is not positive.

    Examples:
        >>> print(polynomial(0.1, 100, end=0.0)(25))
        0.075
    """
    _check_steps(decay_steps)

    def schedule(step):
        step = _real(step)
        span = jnp.asarray(decay_steps, step.dtype)
        if cycle:
            span = span * jnp.maximum(-_decays(-step, decay_steps, True), 1)
        left = span - jnp.minimum(step, span)  # 1 - step / span may be rounded to less than 0
        return (initial - end) * (left / span) ** power + end

    return schedule


def cosine_restarts(
    initial: float,
    first_decay_steps: int,
    length_factor: float = 2.0,
    rate_factor: float = 1.0,
    final_fraction: float = 0.0,
) -> Schedule:
    """Returns half cosines from initial to final_fraction * initial, one after another (arXiv 1608.03983).

    The first takes first_decay_steps; each takes length_factor times as many steps as the one before, and
    falls from rate_factor times its height. This is Keras's CosineDecayRestarts, whose names for the factors
    are t_mul and m_mul.

    Raises:
        UserError: If `first_decay_steps` is not positive, or the length factor is less than 1.

    Examples:
        >>> rate = cosine_restarts(0.1, 10)
        >>> [round(float(rate(step)), 3) for step in (0, 5, 9, 10, 20, 29, 30)]
        [0.1, 0.05, 0.002, 0.1, 0.05, 0.001, 0.1]
    """
    _check_steps(first_decay_steps)
    if length_factor < 1:
        raise UserError(f"cosines {length_factor} times as long each: the factor must be 1 or more")

    def schedule(step):
        t = _real(step) / first_decay_steps
        if length_factor == 1:
            number = _decays(step, first_decay_steps, True)
            t = t - number
        else:
            # The logarithm of a power may be rounded to just below a whole number: the start of a cosine.
            number = jnp.floor(jnp.log1p(t * (length_factor - 1)) / math.log(length_factor) + 1e-5)
            length = length_factor**number
            t = (t - (length - 1) / (length_factor - 1)) / length
        falling = 0.5 * rate_factor**number * (1 + jnp.cos(jnp.pi * t))
        return initial * ((1 - final_fraction) * falling + final_fraction)

    return schedule


def piecewise_constant(boundaries: list[int], values: list[float]) -> Schedule:
    """Returns values[i] up to and including step boundaries[i], and the last value afterwards, as in Keras.

    Raises:
        UserError: If there is not exactly one value more than boundaries, or the boundaries do not rise.
    """
    if len(values) != len(boundaries) + 1 or sorted(set(boundaries)) != list(boundaries):
        raise UserError(
            f"piecewise_constant got boundaries {boundaries} and values {values}: "
            "boundaries must rise and there must be one value more than boundaries"
        )
    return lambda step: jnp.asarray(values)[jnp.searchsorted(jnp.asarray(boundaries), step, side="left")]


def warmup_cosine(
    peak: float, decay_steps: int, warmup_steps: int = 0, start: float = 0.0, final_fraction: float = 0.0
) -> Schedule:
    """Returns a linear warm-up from start to peak, then half a cosine down to final_fraction * peak.

    After the warm-up it is peak * ((1 - final_fraction) * (1 + cos(pi * t / decay_steps)) / 2 +
    final_fraction), where t counts the steps from there and stays at decay_steps, as Keras's CosineDecay.
    Source: arXiv 1608.03983, warm-up arXiv 1706.02677.
    """

    def schedule(step):
        rising = start + (peak - start) * _real(step) / max(warmup_steps, 1)
        t = jnp.clip(_real(step) - warmup_steps, 0, decay_steps) / decay_steps
        falling = peak * ((1 - final_fraction) * 0.5 * (1 + jnp.cos(jnp.pi * t)) + final_fraction)
        return jnp.where(step < warmup_steps, rising, falling)

    return schedule


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    schedule.__name__: schedule
    for schedule in (
        exponential_decay,
        time_decay,
        piecewise_constant,
        polynomial,
        warmup_cosine,
        cosine_restarts,
    )
}


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
