"""A whole training as one compiled program, for networks whose steps take less time than starting them."""

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
    """Returns a jitted function that trains for all epochs, over the same batches in the same order.

    Args:
        loss: Function of (params, batch) to minimize.
        optimizer: An Optax transformation.
        batches: Batches of one epoch, all of one shape (`jaxnets.data.Batches(...).epoch()`).
        epochs: Number of passes over the batches.
        watch: Function of the parameters to record after each epoch.

    Returns:
        A function params -> (params, losses, records): the losses before each step, (epochs, batches), and
        the values of `watch` with a leading axis of epochs.
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
