"""A recurrent layer that goes through sequences in both directions."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.errors import UserError, lookup
from jaxnets.nn.recurrent import Recurrent

MERGES = {
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    "sum": lambda forward, backward: forward + backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "mul": lambda forward, backward: forward * backward,
    None: lambda forward, backward: (forward, backward),
}


class Bidirectional(linen.Module):
    """Two recurrent layers, one of which goes backwards, and their merged outputs; Keras's Bidirectional.

    Params ``forward`` and ``backward``, each those of its layer. The outputs of masked steps are zero if
    sequences are returned.

    Attributes:
      layer: The layer that goes forward, such as ``LSTM(8)``.
      merge_mode: "concat" (2*units channels), "sum", "ave" (the mean), "mul", or None for both outputs.
      backward_layer: The layer that goes backwards; None for one that is set as ``layer`` is.

    Examples:
      >>> from jaxnets import nn
      >>> x = jnp.ones((2, 5, 3))
      >>> y, _ = nn.Bidirectional(nn.GRU(4)).init_with_output(jax.random.key(0), x)
      >>> y.shape
      (2, 8)
    """

    layer: Recurrent
    merge_mode: str | None = "concat"
    backward_layer: Recurrent | None = None

    @linen.compact
    def __call__(
        self,
        x: jax.Array,
        *,
        mask: jax.Array | None = None,
        initial_state: Sequence[jax.Array] | None = None,
        train: bool | None = None,
    ) -> Any:
        """Runs over the time axis of x (batch, time, in), in both directions.

        Args:
          x: Sequences, (batch, time, in).
          mask: (batch, time) of 0/1, as in `Recurrent`; a step with 0 changes no state.
          initial_state: The state of the forward layer, then that of the backward one.
          train: Whether to drop; it must be given if a layer has a dropout.

        Returns:
          The merged outputs; with ``return_state``, a tuple of these, the forward state and the backward one.

        Raises:
          UserError: If the layers do not go together, or the merge mode is unknown.
        """
        forward = self.layer
        backward = self.backward_layer or forward.clone(go_backwards=not forward.go_backwards)
        sequences, with_state = forward.return_sequences, forward.return_state
        if (backward.return_sequences, backward.return_state) != (sequences, with_state):
            raise UserError("the layers of Bidirectional must both return sequences, or states, or neither")
        if forward.go_backwards == backward.go_backwards:
            raise UserError("of the layers of Bidirectional one must have go_backwards=True")
        states: Sequence[Any] = (None, None)
        if initial_state is not None:
            half = len(initial_state) // 2
            states = initial_state[:half], initial_state[half:]
        outputs: list[jax.Array] = []
        last: list[jax.Array] = []
        for name, layer, state in zip(("forward", "backward"), (forward, backward), states, strict=True):
            layer = layer.clone(name=name, parent=self, zero_output_for_mask=sequences)
            output = layer(x, mask=mask, initial_state=state, train=train)
            output, *state = output if with_state else (output,)
            outputs.append(output)
            last += state
        if sequences:
            outputs[1] = jnp.flip(outputs[1], 1)  # back in the order of time
        merged = merge(self.merge_mode, *outputs)
        if not with_state:
            return merged
        return (*merged, *last) if self.merge_mode is None else (merged, *last)


def merge(mode: str | None, forward: jax.Array, backward: jax.Array) -> Any:
    """Returns the two outputs in one."""
    known = {str(name): function for name, function in MERGES.items()}
    return lookup(known, str(mode), "merge mode")(forward, backward)
