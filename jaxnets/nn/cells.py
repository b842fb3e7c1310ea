"""Recurrent cells with Keras's orders of gates: functions of one time step.

A cell is a function ``(state, projected, ...) -> new state``, where ``projected`` is
``input @ kernel + bias`` (batch, gates*units) and the first entry of the state is the cell's output
(batch, units). All of them take ``keep`` (gates, batch, units), with which recurrent dropout multiplies the
output of the step before.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.nn.bias import add_bias

State = tuple[jax.Array, ...]
Function = Callable[[jax.Array], jax.Array]
Cell = Callable[..., State]  # one of those below


def product(x: jax.Array, kernel: jax.Array, keep: jax.Array | None = None) -> jax.Array:
    """Returns x (..., in) @ kernel (in, gates*units); a gate sees x times its part of keep, (gates, ...)."""
    if keep is None:
        return x @ kernel
    blocks = jnp.split(kernel, len(keep), axis=-1)
    return jnp.concatenate([(x * kept) @ block for kept, block in zip(keep, blocks, strict=True)], axis=-1)


def simple_rnn_cell(
    state: State,
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    activation: Function = jnp.tanh,
    keep: jax.Array | None = None,
) -> State:
    """Returns ``h = activation(projected + h @ recurrent_kernel)``; recurrent_kernel (units, units)."""
    (h,) = state
    return (activation(projected + product(h, recurrent_kernel, keep)),)


def hard_sigmoid_keras2(x: jax.Array) -> jax.Array:
    """Returns x/5 + 1/2 between 0 and 1: Keras's hard_sigmoid before version 3, when x/6 took its place.

    It was the default of gates before Keras 2.3; `jax.nn.hard_sigmoid` is the newer one.
    """
    return jnp.clip(0.2 * x + 0.5, 0, 1)


def lstm_cell(
    state: State,
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    activation: Function = jnp.tanh,
    recurrent_activation: Function = linen.sigmoid,
    keep: jax.Array | None = None,
) -> State:
    """Takes a step of the LSTM (Hochreiter and Schmidhuber 1997); state (h, c), gates i, f, c, o.

    ``c = f*c + i*activation(candidate)``, ``h = o*activation(c)``; recurrent_kernel (units, 4*units).
    """
    h, c = state
    i, f, candidate, o = jnp.split(projected + product(h, recurrent_kernel, keep), 4, axis=-1)
    c = recurrent_activation(f) * c + recurrent_activation(i) * activation(candidate)
    return recurrent_activation(o) * activation(c), c


def gru_cell(
    state: State,
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    activation: Function = jnp.tanh,
    recurrent_bias: jax.Array | None = None,
    recurrent_activation: Function = linen.sigmoid,
    keep: jax.Array | None = None,
) -> State:
    """Takes a step of the GRU that resets after the product (cuDNN's, Keras's default); gates z, r, h.

    ``h = z*h + (1-z)*activation(x_h + r*(h @ U_h + b_h))``; recurrent_kernel (units, 3*units),
    recurrent_bias (3*units,).
    """
    (h,) = state
    x_z, x_r, x_h = jnp.split(projected, 3, axis=-1)
    h_z, h_r, h_h = jnp.split(add_bias(product(h, recurrent_kernel, keep), recurrent_bias), 3, axis=-1)
    z, r = recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r)
    return (z * h + (1 - z) * activation(x_h + r * h_h),)


def gru_cell_reset_before(
    state: State,
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    activation: Function = jnp.tanh,
    recurrent_activation: Function = linen.sigmoid,
    keep: jax.Array | None = None,
) -> State:
    """Takes a step of the GRU of Cho et al. 2014, with ``activation(x_h + (r*h) @ U_h)``; gates z, r, h."""
    (h,) = state
    x_z, x_r, x_h = jnp.split(projected, 3, axis=-1)
    u_z, u_r, u_h = jnp.split(recurrent_kernel, 3, axis=-1)
    for_z, for_r, for_h = (h, h, h) if keep is None else (h * kept for kept in keep)
    z, r = recurrent_activation(x_z + for_z @ u_z), recurrent_activation(x_r + for_r @ u_r)
    return (z * h + (1 - z) * activation(x_h + (r * for_h) @ u_h),)
