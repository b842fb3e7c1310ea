"""Pooling over the height and width of NHWC images; strides default to the window, as in Keras."""

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.pooling import pool
from jax import lax

from jaxnets.nn.operation import operation
from jaxnets.nn.window import Padding, Size, check_window, padding_of, pair


@operation("max_pool")
def _max_pool(x: jax.Array, window: tuple[int, int], strides: tuple[int, int], padding: Padding) -> jax.Array:
    # By keyword: the ONNX converter replaces this function by one that takes only keywords.
    return linen.max_pool(x, window_shape=window, strides=strides, padding=padding)


def max_pool(
    x: jax.Array,
    window: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
) -> jax.Array:
    """Returns the maximum of each window, (batch, height, width, c) -> (batch, height', width', c).

    The padding is as in `correlate`.

    Raises:
      UserError: If x is not a batch of images, or they are too small for the window.
    """
    strides = pair(window if strides is None else strides)
    check_window(x, pair(window), padding)
    return _max_pool(x, pair(window), strides, padding_of(padding))


def avg_pool(
    x: jax.Array,
    window: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
) -> jax.Array:
    """Returns the mean of each window, (batch, height, width, c) -> (batch, height', width', c).

    At the border, the padding is excluded from the mean, as in Keras and TensorFlow.

    Raises:
      UserError: If x is not a batch of images, or they are too small for the window.
    """
    strides = pair(window if strides is None else strides)
    check_window(x, pair(window), padding)
    how = {"window_shape": pair(window), "strides": strides, "padding": padding_of(padding)}
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)
    counts = pool(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 0.0, lax.add, **how)
    return pool(x, 0.0, lax.add, **how) / counts


def global_avg_pool(x: jax.Array) -> jax.Array:
    """Returns the mean of every channel, (batch, height, width, c) -> (batch, c)."""
    check_window(x, (1, 1), "valid")
    return jnp.mean(x, axis=(1, 2))


def global_max_pool(x: jax.Array) -> jax.Array:
    """Returns the maximum of every channel, (batch, height, width, c) -> (batch, c)."""
    check_window(x, (1, 1), "valid")
    return jnp.max(x, axis=(1, 2))
