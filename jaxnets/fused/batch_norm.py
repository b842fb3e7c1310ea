"""Batch normalization in two passes over the activations forward, and two backward."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Statistics = tuple[jax.Array, jax.Array]


def normalize_batch(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
    axis_name: str | None,
    shift: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns x (batch, ..., channels) normalized with its own statistics, float32, and those.

    Mean and variance come from the sums of ``x - shift`` and of its square, which one kernel adds up. The
    nearer the shift (channels,) is to the mean, the less is lost to rounding: it is the running mean.
    """
    y, (mean, var) = _normalize_batch(x, scale, bias, mask, shift, epsilon)
    return y, mean, var


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _normalize_batch(
    x: jax.Array, scale: jax.Array, bias: jax.Array, mask: jax.Array | None, shift: jax.Array, epsilon: float
) -> tuple[jax.Array, Statistics]:
    """With a gradient by hand: JAX's reads the activations once for each place where a statistic is used.

    What is kept for it is x as it came, bfloat16 where the network computes in that.
    """
    return _forward(x, scale, bias, mask, shift, epsilon)[0]


def _forward(x, scale, bias, mask, shift, epsilon):
    wide = x.astype(jnp.float32)
    away = wide - _row(shift, x)
    if mask is not None:  # where, not times: padding may hold anything, nan included
        away = jnp.where(_kept(mask, x), away, 0)
    count = _count(mask, x)
    first, second = _sums(away, jnp.square(away))
    offset = first / count
    mean = shift + offset
    var = jnp.maximum(second / count - jnp.square(offset), 0)
    factor = lax.rsqrt(var + epsilon) * scale
    y = wide * _row(factor, x) + _row(bias - mean * factor, x)
    return (y, (mean, var)), (x, scale, mean, var, mask)


def _backward(epsilon, saved, gradients):
    x, scale, mean, var, mask = saved
    dy, (of_mean, of_var) = gradients
    count = _count(mask, x)
    away, deviation = x.astype(jnp.float32) - _row(mean, x), lax.rsqrt(var + epsilon)
    of_bias, of_factor = _sums(dy, dy * away)
    slope = (2 * of_var - of_factor * scale * deviation**3) / count
    constant = (of_mean - of_bias * deviation * scale) / count
    through = away * _row(slope, x) + _row(constant, x)
    dx = dy * _row(deviation * scale, x) + (
        through if mask is None else jnp.where(_kept(mask, x), through, 0)
    )
    return dx.astype(x.dtype), of_factor * deviation, of_bias, None, jnp.zeros_like(mean)


_normalize_batch.defvjp(_forward, _backward)


def _sums(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the sums of two arrays (batch, ..., channels) for each channel.

    Both are one operation, and so one kernel and one message between devices: those of each example, then of
    the batch.
    """
    zero = jnp.zeros((), jnp.float32)

    def add(left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[Any, Any]:
        return left[0] + right[0], left[1] + right[1]

    both = (first, second)
    if first.ndim > 2:
        both = lax.reduce(both, (zero, zero), add, tuple(range(1, first.ndim - 1)))
    return lax.reduce(both, (zero, zero), add, (0,))


def _row(vector: jax.Array, x: jax.Array) -> jax.Array:
    """The vector (channels,) with as many axes as x."""
    return vector.reshape(*(1,) * (x.ndim - 1), -1)


def _kept(mask: jax.Array, x: jax.Array) -> jax.Array:
    return mask.reshape(-1, *(1,) * (x.ndim - 1)) > 0


def _count(mask: jax.Array | None, x: jax.Array) -> jax.Array:
    """Numbers a channel; 1 for a batch of padding alone, which must not divide by zero."""
    examples = x.shape[0] if mask is None else jnp.sum(mask > 0)
    return jnp.maximum(examples * math.prod(x.shape[1:-1]), 1).astype(jnp.float32)
