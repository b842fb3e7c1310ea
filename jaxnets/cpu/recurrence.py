"""The LSTM and the GRU over time, with every activation computed once, and their gradients.

Left to XLA, the LSTM's state and its output each recompute the gates, and JAX's gradient of the scan adds to
the recurrent kernel's gradient in every step. Here a step keeps its activations, and the parameters' gradient
is one matrix product after the scan.
"""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.cpu.rows import channelwise
from jaxnets.cpu.stored import stored
from jaxnets.nn.cells import gru_cell, lstm_cell

State = tuple[jax.Array, ...]
Once = Callable[..., Any]


class Cell(NamedTuple):
    """One time step, elementwise: everything but the product ``h @ recurrent_kernel``.

    Attributes:
      states: Number of arrays (batch, units) in a state.
      forward: (once, state, projected, product) -> the new state and what the gradient needs; ``once`` is
        `stored`.
      backward: (once, state before, what forward kept, gradient of the new state) -> the gradients of
        everything before the activations, (batch, wide), and that of the state without the product's part.
      of_projected: Picks the gradient of ``projected`` from (..., wide).
      of_product: Picks the gradient of the product from (..., wide).
    """

    states: int
    forward: Callable[[Once, State, jax.Array, jax.Array], tuple[State, State]]
    backward: Callable[[Once, State, State, State], tuple[jax.Array, State]]
    of_projected: Callable[[jax.Array], jax.Array] = lambda wide: wide
    of_product: Callable[[jax.Array], jax.Array] = lambda wide: wide


def _parts(x: jax.Array, count: int) -> list[jax.Array]:
    return jnp.split(x, count, axis=-1)


def _join(*parts: jax.Array) -> jax.Array:
    return jnp.concatenate(parts, axis=-1)


def _lstm_forward(once: Once, state: State, projected: jax.Array, product: jax.Array) -> tuple[State, State]:
    def activate(x: jax.Array) -> State:
        i_and_f, candidate_and_o = _parts(x, 2)
        candidate, o = _parts(candidate_and_o, 2)
        return jax.nn.sigmoid(i_and_f), jnp.tanh(candidate), jax.nn.sigmoid(o)

    i_and_f, candidate, o = gates = once(activate, projected + product)
    i, f = _parts(i_and_f, 2)
    c = f * state[1] + i * candidate
    return (o * jnp.tanh(c), c), gates


def _lstm_backward(once: Once, state: State, gates: State, grads: State) -> tuple[jax.Array, State]:
    def before(gates: State, c: jax.Array, dh: jax.Array, dc: jax.Array) -> State:
        i_and_f, candidate, o = gates
        i, f = _parts(i_and_f, 2)
        shown = jnp.tanh(f * c + i * candidate)
        dc += dh * o * (1 - shown**2)
        di, df, dcandidate = dc * candidate * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - candidate**2)
        return _join(di, df, dcandidate, dh * shown * o * (1 - o)), dc * f

    wide, dc = once(before, gates, state[1], *grads)
    return wide, (jnp.zeros_like(grads[0]), dc)


def _gru_forward(once: Once, state: State, projected: jax.Array, product: jax.Array) -> tuple[State, State]:
    def activate(projected: jax.Array, product: jax.Array) -> State:
        (x_z, x_r, x_h), (h_z, h_r, h_h) = _parts(projected, 3), _parts(product, 3)
        z, r = jax.nn.sigmoid(x_z + h_z), jax.nn.sigmoid(x_r + h_r)
        return z, r, jnp.tanh(x_h + r * h_h), h_h

    z, _, candidate, _ = gates = once(activate, projected, product)
    return (z * state[0] + (1 - z) * candidate,), gates


def _gru_backward(once: Once, state: State, gates: State, grads: State) -> tuple[jax.Array, State]:
    def before(gates: State, h: jax.Array, dh: jax.Array) -> State:
        z, r, candidate, h_h = gates
        dcandidate = dh * (1 - z) * (1 - candidate**2)
        dz, dr = dh * (h - candidate) * z * (1 - z), dcandidate * h_h * r * (1 - r)
        return _join(dz, dr, dcandidate, dcandidate * r), dh * z

    wide, dh = once(before, gates, *state, *grads)
    return wide, (dh,)


def _without(part: int, wide: jax.Array) -> jax.Array:
    parts = _parts(wide, 4)
    return _join(*parts[:part], *parts[part + 1 :])


CELLS: dict[Callable[..., Any], Cell] = {  # for the activation tanh
    lstm_cell: Cell(2, _lstm_forward, _lstm_backward),
    gru_cell: Cell(1, _gru_forward, _gru_backward, partial(_without, 3), partial(_without, 2)),
}


def recur(
    cell: Callable[..., Any], states: int, activation: Any, sequences: bool, *weights: Any
) -> jax.Array:
    """Computes `jaxnets.nn.recurrent.recur` for the cells in `CELLS`."""
    return _recur(CELLS[cell], sequences, *weights)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recur(
    cell: Cell,
    sequences: bool,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array,
    recurrent_bias: jax.Array | None,
) -> jax.Array:
    """Maps x (batch, time, in) to all outputs (batch, time, units) if ``sequences``, else the last one."""
    step, start, projected = _prepare(cell, x, kernel, recurrent_kernel, bias, recurrent_bias)

    def shown(state: State, now: jax.Array) -> tuple[State, jax.Array | None]:
        state, _ = step(state, now)
        return state, state[0] if sequences else None

    state, outputs = lax.scan(shown, start, projected)
    return state[0] if outputs is None else outputs.swapaxes(0, 1)


def _prepare(cell, x, kernel, recurrent_kernel, bias, recurrent_bias):
    """Returns the time step, the initial state, and the projected input (time, batch, gates*units)."""
    once = partial(stored, by=recurrent_kernel)  # every device has it: nothing to send

    def step(state, now):
        product = state[0] @ recurrent_kernel
        if recurrent_bias is not None:
            product = channelwise(operator.add, product, recurrent_bias)
        return cell.forward(once, state, now, product)

    projected = channelwise(operator.add, x.swapaxes(0, 1) @ kernel, bias)
    start = (jnp.zeros((x.shape[0], recurrent_kernel.shape[0]), projected.dtype),) * cell.states
    return step, start, projected


def _forward(cell, sequences, x, kernel, recurrent_kernel, bias, recurrent_bias):
    step, start, projected = _prepare(cell, x, kernel, recurrent_kernel, bias, recurrent_bias)

    def kept(state, now):
        after, gates = step(state, now)
        return after, (state, gates)

    (last, *_), trace = lax.scan(kept, start, projected)
    states, _ = trace
    outputs = jnp.concatenate([states[0][1:], last[None]]).swapaxes(0, 1) if sequences else last
    return outputs, (x, kernel, recurrent_kernel, recurrent_bias, trace)


def _backward(cell, sequences, saved, dy):
    x, kernel, recurrent_kernel, recurrent_bias, trace = saved
    states, _ = trace
    once = partial(stored, by=recurrent_kernel)

    def step(grads, now):
        (state, gates), dh = now
        if sequences:
            grads = (grads[0] + dh, *grads[1:])
        wide, direct = cell.backward(once, state, gates, grads)
        dh = cell.of_product(wide) @ turned_kernel
        return (dh + direct[0], *direct[1:]), wide

    turned_kernel = stored(jnp.transpose, recurrent_kernel)  # else every step's product transposes it again
    nothing = tuple(jnp.zeros_like(values[0]) for values in states)
    start, outer = (nothing, dy.swapaxes(0, 1)) if sequences else ((dy, *nothing[1:]), None)
    _, wide = lax.scan(step, start, (trace, outer), reverse=True)

    # For all parameters in one product: the gates' input was [x, h, 1] @ [kernel, recurrent kernel, bias].
    time, batch = wide.shape[:2]
    met = jnp.concatenate([x.swapaxes(0, 1), states[0], jnp.ones((time, batch, 1), x.dtype)], axis=-1)
    whole = met.reshape(time * batch, -1).T @ wide.reshape(time * batch, -1)
    dkernel, drecurrent, (dbias,) = jnp.split(whole, [x.shape[-1], whole.shape[0] - 1])
    return (
        (cell.of_projected(wide) @ kernel.T).swapaxes(0, 1),
        cell.of_projected(dkernel),
        cell.of_product(drecurrent),
        cell.of_projected(dbias),
        None if recurrent_bias is None else cell.of_product(dbias),
    )


_recur.defvjp(_forward, _backward)
