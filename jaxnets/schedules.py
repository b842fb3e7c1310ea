"""Learning rate schedules: each function returns a schedule, step -> rate, with steps counted from 0."""

import jax
import jax.numpy as jnp
from optax import Schedule

from jaxnets.errors import UserError


def _real(step) -> jax.Array:
    """Returns the step as the default float: int32 / int would stay float32 when float64 is enabled."""
    return jnp.asarray(step, float)


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
    if decay_steps <= 0:
        raise UserError(f"a decay every {decay_steps} steps: it must be more than 0")

    def schedule(step):
        exponent = _real(step) / decay_steps
        return initial * decay_rate ** (jnp.floor(exponent) if staircase else exponent)

    return schedule


def time_decay(initial: float, decay: float) -> Schedule:
    """Returns initial / (1 + decay * step), the `decay` argument of Keras's older optimizers."""
    return lambda step: initial / (1 + decay * _real(step))


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
