"""Which side ReLU and max pooling take: noted in one program, and imposed on another.

The gradient of ReLU jumps at 0, and that of max pooling where two values are equal. Of a million inputs some
lie so near to such a point that rounding decides, and then two correct float32 programs give gradients that
have nothing to do with each other, nor with float64's. What can be compared is the gradient along one branch:
the float32 program's choices are noted, and the float64 program that judges it is made to take the same ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import keras
from flax import linen
from jax import lax

from jaxnets import nn

Choices = list[jax.Array]  # of every ReLU and max pooling, in the order in which the network calls them


@contextmanager
def noted() -> Iterator[Choices]:
    """Inside this context a traced network appends its choices to the list, and computes the same."""
    with _watched(None) as taken:
        yield taken


@contextmanager
def imposed(choices: Choices, impose: jax.Array) -> Iterator[Choices]:
    """Inside this context a traced network takes these choices where ``impose``, a bool (), is true.

    Otherwise its own, by the same operations as outside. It notes what its own would have been.
    """
    with _watched((choices, impose)) as taken:
        yield taken


@contextmanager
def _watched(given: tuple[Choices, jax.Array] | None) -> Iterator[Choices]:
    taken: Choices = []

    def choose(own: jax.Array, candidates: Any, which: jax.Array) -> jax.Array:
        """`own`, or the candidate that is given; ``which`` of them are its own is noted."""
        taken.append(which)
        if given is None:
            return own
        choices, impose = given
        return jnp.where(impose, candidates(choices[len(taken) - 1]), own)

    real = {"relu": jax.nn.relu, "pool": nn.max_pool, "global": nn.global_max_pool}
    keras_pool, keras_global = keras.src.backend.nn.max_pool, keras.layers.GlobalMaxPooling2D.call

    def relu(x):
        return choose(real["relu"](x), lambda on: jnp.where(on, x, 0), x > 0)

    def pooled(own: jax.Array, x: jax.Array, window: Any, strides: Any, padding: Any) -> jax.Array:
        seen = _under_windows(x, window, strides, padding)
        return choose(
            own, lambda which: jnp.take_along_axis(seen, which[None], 0)[0], jnp.argmax(seen, axis=0)
        )

    def max_pool(x, window, strides=None, padding="valid"):
        return pooled(real["pool"](x, window, strides, padding), x, window, strides, padding)

    def keras_max_pool(x, pool_size, strides=None, padding="valid", data_format=None):
        return pooled(keras_pool(x, pool_size, strides, padding, data_format), x, pool_size, strides, padding)

    def whole(own: jax.Array, x: jax.Array) -> jax.Array:
        return pooled(own[:, None, None], x, x.shape[1:3], 1, "valid")[:, 0, 0]

    replacements = [
        (jax.nn, "relu", relu),  # Keras's
        (linen, "relu", relu),  # ours
        (nn, "max_pool", max_pool),
        (keras.src.backend.nn, "max_pool", keras_max_pool),
        (nn, "global_max_pool", lambda x: whole(real["global"](x), x)),
        (keras.layers.GlobalMaxPooling2D, "call", lambda layer, x: whole(keras_global(layer, x), x)),
    ]
    with ExitStack() as stack:
        for place, name, function in replacements:
            stack.enter_context(mock.patch.object(place, name, function))
        yield taken


def _under_windows(x: jax.Array, window: Any, strides: Any, padding: Any) -> jax.Array:
    """(places in the window, batch, height', width', channels): what each window sees, -inf outside."""
    window = _pair(window)
    strides = window if strides is None else _pair(strides)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], window, strides, padding.upper())
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)], constant_values=-jnp.inf)
    rows, columns = ((x.shape[a + 1] - window[a]) // strides[a] + 1 for a in (0, 1))
    ends = (rows - 1) * strides[0] + 1, (columns - 1) * strides[1] + 1
    return jnp.stack(
        [
            x[:, i : i + ends[0] : strides[0], j : j + ends[1] : strides[1]]
            for i in range(window[0])
            for j in range(window[1])
        ]
    )


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
