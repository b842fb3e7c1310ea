"""Running a recurrent cell over time."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.nn.bias import add_bias
from jaxnets.nn.cells import Cell, Function, State
from jaxnets.nn.operation import operation


def scan(
    cell: Cell,
    start: State,
    projected: jax.Array,
    sequences: bool,
    mask: jax.Array | None = None,
    zero_masked: bool = False,
    unroll: bool = False,
) -> tuple[jax.Array, State]:
    """Takes a step for each entry of ``projected``.

    Args:
      cell: Function (state, one entry of projected) -> new state.
      start: State before the first step.
      projected: (time, batch, gates*units).
      sequences: Whether to return the outputs of all steps instead of the last one.
      mask: (time, batch, 1) of booleans; a step with False keeps the state.
      zero_masked: Whether the output of such a step is zero, not that of the step before.
      unroll: Whether to compile every step on its own.

    Returns:
      The outputs, (batch, time, units) or (batch, units), and the last state.
    """

    def step(state: State, now: Any) -> tuple[State, jax.Array | None]:
        if mask is None:
            state = cell(state, now)
            return state, state[0] if sequences else None
        now, counts = now
        state = tuple(jnp.where(counts, new, old) for new, old in zip(cell(state, now), state, strict=True))
        return state, shown(state, counts) if sequences else None

    def shown(state: State, counts: jax.Array) -> jax.Array:
        return jnp.where(counts, state[0], jnp.zeros_like(state[0])) if zero_masked else state[0]

    state, outputs = lax.scan(step, start, projected if mask is None else (projected, mask), unroll=unroll)
    if outputs is not None:
        return outputs.swapaxes(0, 1), state
    return state[0] if mask is None else shown(state, mask[-1]), state


@operation("recur")
def recur(
    cell: Cell,
    states: int,
    activation: Function,
    sequences: bool,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array,
    recurrent_bias: jax.Array | None,
) -> jax.Array:
    """Maps x (batch, time, in) to all outputs (batch, time, units) if ``sequences``, else the last one."""
    projected = add_bias(x @ kernel, bias).swapaxes(0, 1)  # (time, batch, gates*units)
    more = () if recurrent_bias is None else (recurrent_bias,)

    def step(state: State, now: jax.Array) -> State:
        return cell(state, now, recurrent_kernel, activation, *more)

    return scan(step, zero_state(states, projected, recurrent_kernel), projected, sequences)[0]


def zero_state(states: int, projected: jax.Array, recurrent_kernel: jax.Array) -> State:
    """Returns so many arrays of zeros (batch, units).

    They are laid out on the devices as the later states are, which a scan under an explicit mesh requires.
    """
    return (jnp.zeros_like(projected[0, :, : len(recurrent_kernel)]),) * states
