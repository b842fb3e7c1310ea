"""A whole training as one compiled program, for networks so small that starting a step costs more than it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
import optax

Batch = Mapping[str, Any]


def make_training(
    loss: Callable[[Any, Batch], jax.Array],
    optimizer: optax.GradientTransformation,
    batches: Iterable[Batch],
    epochs: int,
    watch: Callable[[Any], Any] = lambda params: None,
) -> Callable[[Any], tuple[Any, jax.Array, Any]]:
    """Returns all epochs over the same batches in the same order as one jitted function of the first params.

    Args:
        loss: (params, batch) to the number to minimize.
        optimizer: An Optax transformation.
        batches: Batches of one epoch, all of one shape (`jaxnets.data.Batches(...).epoch()`).
        epochs: Passes over the batches.
        watch: What to note of the parameters after each epoch.

    Returns:
        params -> (params, losses, notes): losses (epochs, batches) before each step, notes with a leading
        axis of epochs.
    """
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)

    def step(carry, batch):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, batch)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    def epoch(carry, _):
        carry, values = jax.lax.scan(step, carry, stacked)
        return carry, (values, watch(carry[0]))

    @jax.jit
    def training(params):
        start = params, optimizer.init(params)
        (params, _), (values, notes) = jax.lax.scan(epoch, start, length=epochs)
        return params, values, notes

    return training
