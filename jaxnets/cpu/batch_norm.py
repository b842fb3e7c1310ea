"""Batch normalization: statistics and gradients in as few passes over memory as they need."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu.rows import as_rows, sum_by_channel, tiled
from jaxnets.cpu.stored import stored
from jaxnets.nn.norm import batch_statistics

Statistics = tuple[jax.Array, jax.Array]

FEW = 64  # channels; with more, storing the output's gradient takes as long as recomputing it


def normalize_batch(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
    axis_name: str | None,
    shift: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns x (batch, ..., channels) normalized with its own statistics, their mean and variance."""
    x = x.astype(jnp.promote_types(jnp.float32, x.dtype))
    y, (mean, var) = _normalize_batch(x, scale, bias, mask, epsilon)
    return y, mean, var


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _normalize_batch(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mask: jax.Array | None,
    epsilon: float,
) -> tuple[jax.Array, Statistics]:
    """Returns x (batch, ..., channels) normalized, and the mean and variance it was normalized with.

    These are the plain ones, `batch_statistics(x, mask)`: in another order their sums would be nearer to
    float64 but round unlike Keras's, so that in deep networks some ReLUs would be on here and off in Keras.

    JAX's own gradient passes over x and the output's gradient twice as often as the one written by hand:
    through the mean in the variance, which contributes nothing, and once for each use of the mean and factor.
    """
    return _forward(x, scale, bias, mask, epsilon)[0]


def _forward(x, scale, bias, mask, epsilon):
    rows = as_rows(x)
    mean, var = batch_statistics(x, mask)
    factor = lax.rsqrt(var + epsilon) * scale
    offset = -mean * factor + bias
    y = rows * tiled(factor, x) + tiled(offset, x)
    return (y.reshape(x.shape), (mean, var)), (x, scale, bias, mean, var, mask)


def _backward(epsilon, saved, gradients):
    x, scale, bias, mean, var, mask = saved
    kept = None if mask is None else jnp.repeat(mask > 0, math.prod(x.shape[1:-2]))[:, None]
    count = jnp.sum(mask > 0) if mask is not None else x.shape[0]
    count = jnp.maximum(count * math.prod(x.shape[1:-1]), 1).astype(x.dtype)
    dy, (of_mean, of_var) = gradients
    rows, dy = as_rows(x), as_rows(dy)
    deviation = lax.rsqrt(var + epsilon)
    of_bias = sum_by_channel(dy, x)
    of_factor = sum_by_channel(dy * (rows - tiled(mean, x)), x)
    of_var -= of_factor * scale * deviation**3 / 2
    of_mean -= of_bias * deviation * scale
    slope = 2 * of_var / count
    constant = of_mean / count - mean * slope
    through = rows * tiled(slope, x) + tiled(constant, x)  # via the statistics, for examples that count
    dx = dy * tiled(deviation * scale, x) + (through if kept is None else jnp.where(kept, through, 0))
    return dx.reshape(x.shape), (of_factor * deviation).astype(scale.dtype), of_bias.astype(bias.dtype), None


_normalize_batch.defvjp(_forward, _backward)


def normalize(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
    """Returns x (batch, ..., channels) normalized with the given statistics."""
    factor = lax.rsqrt(var + epsilon) * scale
    return _scale_and_shift(x, factor, -mean * factor + bias)


@jax.custom_vjp
def _scale_and_shift(x: jax.Array, factor: jax.Array, offset: jax.Array) -> jax.Array:
    """Returns x (batch, ..., channels) times the factors (channels,) plus the offsets (channels,)."""
    return (as_rows(x) * tiled(factor, x) + tiled(offset, x)).reshape(x.shape)


def _gradients(saved, dy):
    x, factor = saved
    if x.shape[-1] < FEW:
        # XLA recognizes the identity itself and would drop the condition.
        dy = stored(lambda dy: jnp.where(dy == dy, dy, jnp.nan), dy)
    rows = as_rows(dy)
    dx = (rows * tiled(factor, x)).reshape(x.shape)
    return dx, sum_by_channel(rows * as_rows(x), x), sum_by_channel(rows, x)


_scale_and_shift.defvjp(
    lambda x, factor, offset: (_scale_and_shift(x, factor, offset), (x, factor)), _gradients
)
