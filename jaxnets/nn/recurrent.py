"""Recurrent cells and layers with Keras's weights: fused kernels, its orders of gates, its two GRUs.

A cell is a function ``(state, projected, ...) -> new state`` of one time step, where ``projected`` is
``input @ kernel + bias`` (batch, gates*units) and the first entry of the state is the cell's output
(batch, units). A layer projects the inputs of all time steps in one product, since these do not depend on
each other, and scans its cell over the result.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxnets.errors import UserError
from jaxnets.nn.bias import add_bias
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.operation import operation

State = tuple[jax.Array, ...]
Activation = Callable[[jax.Array], jax.Array]


def simple_rnn_cell(
    state: State, projected: jax.Array, recurrent_kernel: jax.Array, activation: Activation = jnp.tanh
) -> State:
    """Returns ``h = activation(projected + h @ recurrent_kernel)``; recurrent_kernel (units, units)."""
    (h,) = state
    return (activation(projected + h @ recurrent_kernel),)


def hard_sigmoid_keras2(x: jax.Array) -> jax.Array:
    """Returns x/5 + 1/2 between 0 and 1: Keras's hard_sigmoid before version 3, when x/6 took its place.

    It was the default of gates before Keras 2.3; `jax.nn.hard_sigmoid` is the newer one.
    """
    return jnp.clip(0.2 * x + 0.5, 0, 1)


def lstm_cell(
    state: State,
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    activation: Activation = jnp.tanh,
    recurrent_activation: Activation = linen.sigmoid,
) -> State:
    """Takes a step of the LSTM (Hochreiter and Schmidhuber 1997); state (h, c), gates i, f, c, o.

    ``c = f*c + i*activation(candidate)``, ``h = o*activation(c)``; recurrent_kernel (units, 4*units).
    """
    h, c = state
    i, f, candidate, o = jnp.split(projected + h @ recurrent_kernel, 4, axis=-1)
    c = recurrent_activation(f) * c + recurrent_activation(i) * activation(candidate)
    return recurrent_activation(o) * activation(c), c


def gru_cell(
    state: State,
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    activation: Activation = jnp.tanh,
    recurrent_bias: jax.Array | None = None,
    recurrent_activation: Activation = linen.sigmoid,
) -> State:
    """Takes a step of the GRU that resets after the product (cuDNN's, Keras's default); gates z, r, h.

    ``h = z*h + (1-z)*activation(x_h + r*(h @ U_h + b_h))``; recurrent_kernel (units, 3*units),
    recurrent_bias (3*units,).
    """
    (h,) = state
    x_z, x_r, x_h = jnp.split(projected, 3, axis=-1)
    h_z, h_r, h_h = jnp.split(add_bias(h @ recurrent_kernel, recurrent_bias), 3, axis=-1)
    z, r = recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r)
    return (z * h + (1 - z) * activation(x_h + r * h_h),)


def gru_cell_reset_before(
    state: State,
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    activation: Activation = jnp.tanh,
    recurrent_activation: Activation = linen.sigmoid,
) -> State:
    """Takes a step of the GRU of Cho et al. 2014, with ``activation(x_h + (r*h) @ U_h)``; gates z, r, h."""
    (h,) = state
    x_z, x_r, x_h = jnp.split(projected, 3, axis=-1)
    u_z, u_r, u_h = jnp.split(recurrent_kernel, 3, axis=-1)
    z, r = recurrent_activation(x_z + h @ u_z), recurrent_activation(x_r + h @ u_r)
    return (z * h + (1 - z) * activation(x_h + (r * h) @ u_h),)


Cell = Callable[..., State]  # one of those above


def _with_gates(cell: Cell, recurrent_activation: Activation) -> Cell:
    """Returns the cell with these gates; the cell itself, which has formulations, if they are its own."""
    own = recurrent_activation is linen.sigmoid
    return cell if own else partial(cell, recurrent_activation=recurrent_activation)


@operation("recur")
def recur(
    cell: Cell,
    states: int,
    activation: Activation,
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

    def step(state: State, now: jax.Array) -> tuple[State, jax.Array | None]:
        state = cell(state, now, recurrent_kernel, activation, *more)
        return state, state[0] if sequences else None

    # Zeros laid out on the devices as the later states are, which a scan under an explicit mesh requires.
    start = (jnp.zeros_like(projected[0, :, : len(recurrent_kernel)]),) * states
    state, outputs = lax.scan(step, start, projected)
    return state[0] if outputs is None else outputs.swapaxes(0, 1)


class Recurrent(linen.Module):
    """Base class of the recurrent layers: (batch, time, in) -> (batch, units), or (batch, time, units).

    Params ``kernel`` (in, gates*units) and ``recurrent_kernel`` (units, gates*units), each drawn over its
    whole fused matrix, and ``bias``. States start at zero.

    Attributes:
      units: Width of the output.
      return_sequences: Whether to return the output of every time step instead of the last one only.
      activation: Activation of the candidate (and of the LSTM's output). LSTM and GRU also have a
        ``recurrent_activation``, that of their gates, by default the sigmoid.
      dtype: Type of the arithmetic and the output; None for the one inputs and parameters promote to.
    """

    units: int
    return_sequences: bool = False
    activation: Activation = jnp.tanh
    kernel_init: str | Initializer = "glorot_uniform"
    recurrent_init: str | Initializer = "orthogonal"
    dtype: Any = None

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def make_bias(self) -> jax.Array:
        """Returns the bias parameter, by default (gates*units,) zeros."""
        return self.param("bias", linen.initializers.zeros, (self.gates * self.units,), jnp.float32)

    def split_bias(self, bias: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Returns the bias of the projected input and that of the recurrent product."""
        return bias, None

    def cell(self) -> Cell:
        """Returns the cell, which takes one time step."""
        raise NotImplementedError

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Runs over the time axis of x (batch, time, in); raises UserError if x has another rank."""
        if x.ndim != 3:
            raise UserError(f"sequences must have shape (batch, time, channels), not {x.shape}")
        if x.shape[1] == 0:
            raise UserError(f"these sequences have no time step at all: {x.shape}")
        width = self.gates * self.units
        kernel = self.param("kernel", get_initializer(self.kernel_init), (x.shape[-1], width), jnp.float32)
        recurrent_kernel = self.param(
            "recurrent_kernel", get_initializer(self.recurrent_init), (self.units, width), jnp.float32
        )
        bias = self.make_bias()
        x, kernel, recurrent_kernel, bias = promote_dtype(x, kernel, recurrent_kernel, bias, dtype=self.dtype)
        input_bias, recurrent_bias = self.split_bias(bias)
        weights = kernel, recurrent_kernel, input_bias, recurrent_bias
        return recur(self.cell(), self.states, self.activation, self.return_sequences, x, *weights)


class SimpleRNN(Recurrent):
    """Fully connected recurrent layer, `simple_rnn_cell`; bias (units,)."""

    def cell(self) -> Cell:
        """See `Recurrent.cell`."""
        return simple_rnn_cell


class LSTM(Recurrent):
    """Long short-term memory, `lstm_cell`; bias (4*units,), that of the forget gate starting at one."""

    recurrent_activation: Activation = linen.sigmoid

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def make_bias(self) -> jax.Array:
        """Returns the bias: zeros, but ones for the forget gate (Jozefowicz et al. 2015)."""

        def unit_forget(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return jnp.zeros(shape, dtype).at[self.units : 2 * self.units].set(1)

        return self.param("bias", unit_forget, (4 * self.units,), jnp.float32)

    def cell(self) -> Cell:
        """See `Recurrent.cell`."""
        return _with_gates(lstm_cell, self.recurrent_activation)


class GRU(Recurrent):
    """Gated recurrent unit; ``reset_after`` chooses between `gru_cell` and `gru_cell_reset_before`.

    With ``reset_after`` the bias is (2, 3*units), the first row for the input and the second for the
    recurrent product; without it, (3*units,).
    """

    reset_after: bool = True
    recurrent_activation: Activation = linen.sigmoid

    gates: ClassVar[int] = 3

    def make_bias(self) -> jax.Array:
        """Returns the bias: zeros in the shape that ``reset_after`` requires."""
        shape = (2, 3 * self.units) if self.reset_after else (3 * self.units,)
        return self.param("bias", linen.initializers.zeros, shape, jnp.float32)

    def split_bias(self, bias: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """See `Recurrent.split_bias`."""
        return (bias[0], bias[1]) if self.reset_after else (bias, None)

    def cell(self) -> Cell:
        """See `Recurrent.cell`."""
        cell = gru_cell if self.reset_after else gru_cell_reset_before
        return _with_gates(cell, self.recurrent_activation)
