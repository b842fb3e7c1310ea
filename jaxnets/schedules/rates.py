"""Learning rate schedules: each function returns a schedule, step -> rate, with steps counted from 0."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from optax import Schedule

from jaxnets.errors import UserError


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
