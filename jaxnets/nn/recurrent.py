"""Recurrent layers with Keras's weights: fused kernels, its orders of gates, its two GRUs.

A layer projects the inputs of all time steps in one product, since these do not depend on each other, and
scans its cell (`jaxnets.nn.cells`) over the result.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype

from jaxnets.errors import UserError, whole
from jaxnets.nn.activations import Activation, get_activation
from jaxnets.nn.bias import add_bias
from jaxnets.nn.cells import (
    Cell,
    State,
    gru_cell,
    gru_cell_reset_before,
    lstm_cell,
    product,
    simple_rnn_cell,
)
from jaxnets.nn.dropout import check_rate, drop
from jaxnets.nn.initializers import Initializer, get_initializer
from jaxnets.nn.scan import recur, scan, zero_state


class Recurrent(linen.Module):
    """Base class of the recurrent layers: (batch, time, in) -> (batch, units), or (batch, time, units).

    Params ``kernel`` (in, gates*units) and ``recurrent_kernel`` (units, gates*units), each drawn over its
    whole fused matrix, and ``bias``. States start at zero.

    Attributes:
      units: Width of the output.
      return_sequences: Whether to return the output of every time step instead of the last one only.
      activation: Activation of the candidate (and of the LSTM's output), or its name in `ACTIVATIONS`. LSTM
        and GRU also have a ``recurrent_activation``, that of their gates, by default the sigmoid.
      kernel_init, recurrent_init, bias_init: Initializers, or their names in `INITIALIZERS`.
      dtype: Type of the arithmetic and the output; None for the one inputs and parameters promote to.
      use_bias: Whether there is a bias.
      dropout, recurrent_dropout: Fractions of the inputs, and of the outputs of the step before, that are
        dropped in training, the same in all steps; each gate drops others if there is a
        ``recurrent_dropout``, as in Keras. They draw from the "dropout" stream of keys. A rate of 1 drops
        everything, where Keras's LSTM and GRU drop nothing.
      go_backwards: Whether to go through time from the last step to the first. Outputs of all steps come in
        that order too.
      return_state: Whether to return the last state too, as in Keras: ``output, h = layer(x)`` and for an
        LSTM ``output, h, c = layer(x)``.
      zero_output_for_mask: Whether the output of a masked step is zero, instead of the one before.
      unroll: Whether to compile every step on its own: faster for few steps, slower to compile.
    """

    units: int
    return_sequences: bool = False
    activation: Activation = jnp.tanh
    kernel_init: str | Initializer = "glorot_uniform"
    recurrent_init: str | Initializer = "orthogonal"
    dtype: Any = None
    use_bias: bool = True
    bias_init: str | Initializer = "zeros"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    go_backwards: bool = False
    return_state: bool = False
    zero_output_for_mask: bool = False
    unroll: bool = False

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def bias_shape(self) -> tuple[int, ...]:
        """Returns the shape of the bias."""
        return (self.gates * self.units,)

    def draw_bias(self) -> Initializer:
        """Returns the initializer of the bias."""
        return get_initializer(self.bias_init)

    def split_bias(self, bias: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Returns the bias of the projected input and that of the recurrent product."""
        return bias, None

    def cell(self) -> Cell:
        """Returns the cell, which takes one time step."""
        raise NotImplementedError

    @linen.compact
    def __call__(
        self,
        x: jax.Array,
        *,
        mask: jax.Array | None = None,
        initial_state: jax.Array | Sequence[jax.Array] | None = None,
        train: bool | None = None,
    ) -> Any:
        """Runs over the time axis of x.

        Args:
          x: Sequences, (batch, time, in).
          mask: (batch, time) of 0/1, such as `embedding_mask` gives: a step with 0 changes no state.
          initial_state: State to start from, arrays (batch, units), as ``return_state`` returns them: (h,),
            or (h, c) for an LSTM.
          train: Whether to drop; it must be given if the layer has a dropout.

        Returns:
          The last output (batch, units) or all of them (batch, time, units), and the last state if asked for.

        Raises:
          UserError: If x is not a batch of sequences, or something does not fit it.
        """
        whole("units", self.units, least=1)
        _check(x, mask)
        if mask is not None:
            mask = mask.astype(bool)
            # What is masked may be anything, but nan times zero would reach the gradients.
            x = jnp.where(mask[..., None], x, jnp.zeros_like(x))
        width = self.gates * self.units
        kernel = self.param("kernel", get_initializer(self.kernel_init), (x.shape[-1], width), jnp.float32)
        recurrent_kernel = self.param(
            "recurrent_kernel", get_initializer(self.recurrent_init), (self.units, width), jnp.float32
        )
        if self.use_bias:
            bias = self.param("bias", self.draw_bias(), self.bias_shape(), jnp.float32)
        else:
            bias = jnp.zeros(self.bias_shape(), jnp.float32)
        x, kernel, recurrent_kernel, bias = promote_dtype(x, kernel, recurrent_kernel, bias, dtype=self.dtype)
        if self.go_backwards:
            x, mask = jnp.flip(x, 1), None if mask is None else jnp.flip(mask, 1)
        input_bias, recurrent_bias = self.split_bias(bias)
        weights = kernel, recurrent_kernel, input_bias, recurrent_bias
        cell, activation = self.cell(), get_activation(self.activation)
        of_x, of_h = _keep(self, x, train)
        if of_x is not None and len(of_x) == 1:
            x, of_x = x * of_x[0][:, None], None
        special = (mask, initial_state, of_x, of_h)
        if all(one is None for one in special) and not (self.return_state or self.unroll):
            return recur(cell, self.states, activation, self.return_sequences, x, *weights)

        projected = product(x, kernel, None if of_x is None else of_x[:, :, None])
        projected = add_bias(projected, input_bias).swapaxes(0, 1)
        more = () if recurrent_bias is None else (recurrent_bias,)

        def step(state: State, now: jax.Array) -> State:
            return cell(state, now, recurrent_kernel, activation, *more, keep=of_h)

        output, state = scan(
            step,
            _start(self, initial_state, zero_state(self.states, projected, recurrent_kernel)),
            projected,
            self.return_sequences,
            None if mask is None else mask.swapaxes(0, 1)[..., None],
            self.zero_output_for_mask,
            self.unroll,
        )
        return (output, *state) if self.return_state else output


def _check(x: jax.Array, mask: jax.Array | None) -> None:
    if x.ndim != 3:
        raise UserError(f"sequences must have shape (batch, time, channels), not {x.shape}")
    if x.shape[1] == 0:
        raise UserError(f"these sequences have no time step at all: {x.shape}")
    if mask is not None and mask.shape != x.shape[:2]:
        raise UserError(f"a mask of shape {mask.shape} does not fit {x.shape}: it must be {x.shape[:2]}")


def _keep(layer: Recurrent, x: jax.Array, train: bool | None) -> tuple[jax.Array | None, jax.Array | None]:
    """Returns what dropout multiplies each gate's, or all gates' inputs and recurrent inputs with."""
    check_rate(layer.dropout)
    check_rate(layer.recurrent_dropout)
    if not (layer.dropout or layer.recurrent_dropout):
        return None, None
    if train is None:
        raise UserError(
            f"{type(layer).__name__} has a dropout: say whether it trains, as in layer(x, train=train)"
        )
    if not train:
        return None, None
    gates = layer.gates if layer.recurrent_dropout else 1

    def keep(rate: float, width: int) -> jax.Array | None:
        if not rate:
            return None
        ones = jnp.ones_like(x[:, 0, :1])  # laid out on the devices as x is
        ones = jnp.broadcast_to(ones, (gates, ones.shape[0], width))
        return drop(layer.make_rng("dropout"), ones, rate)

    return keep(layer.dropout, x.shape[-1]), keep(layer.recurrent_dropout, layer.units)


def _start(layer: Recurrent, given: Any, start: State) -> State:
    """Returns the state that is given, laid out as zeros are, or zeros."""
    if given is None:
        return start
    given = given if isinstance(given, Sequence) else (given,)
    shapes = [jnp.shape(state) for state in given]
    if shapes != [state.shape for state in start]:
        raise UserError(
            f"initial_state has arrays of shape {', '.join(map(str, shapes))}: {type(layer).__name__} "
            f"takes {layer.states} of shape {start[0].shape}"
        )
    return tuple(zero + state.astype(zero.dtype) for zero, state in zip(start, given, strict=True))


def _with_gates(cell: Cell, recurrent_activation: Activation) -> Cell:
    """Returns the cell with these gates; the cell itself, which has formulations, if they are its own."""
    gates = get_activation(recurrent_activation)
    return cell if gates is linen.sigmoid else partial(cell, recurrent_activation=gates)


class SimpleRNN(Recurrent):
    """Fully connected recurrent layer, `simple_rnn_cell`; bias (units,)."""

    def cell(self) -> Cell:
        """See `Recurrent.cell`."""
        return simple_rnn_cell


class LSTM(Recurrent):
    """Long short-term memory, `lstm_cell`; bias (4*units,), that of the forget gate starting at one.

    With ``unit_forget_bias=False``, ``bias_init`` draws that of the forget gate too.
    """

    recurrent_activation: Activation = linen.sigmoid
    unit_forget_bias: bool = True

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def draw_bias(self) -> Initializer:
        """Returns the initializer of the bias: ones for the forget gate (Jozefowicz et al. 2015)."""
        draw = get_initializer(self.bias_init)

        def unit_forget(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            first, last = jax.random.split(key)
            parts = draw(first, (self.units,), dtype), jnp.ones(self.units, dtype)
            return jnp.concatenate([*parts, draw(last, (2 * self.units,), dtype)])

        return unit_forget if self.unit_forget_bias else draw

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

    def bias_shape(self) -> tuple[int, ...]:
        """Returns the shape of the bias, which depends on ``reset_after``."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def split_bias(self, bias: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """See `Recurrent.split_bias`."""
        return (bias[0], bias[1]) if self.reset_after else (bias, None)

    def cell(self) -> Cell:
        """See `Recurrent.cell`."""
        cell = gru_cell if self.reset_after else gru_cell_reset_before
        return _with_gates(cell, self.recurrent_activation)
