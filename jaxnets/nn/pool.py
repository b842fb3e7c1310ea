"""Pooling over the height and width of NHWC images; strides default to the window, as in Keras."""

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.nn import cpu
from jaxnets.nn.window import Padding, Size, check_window, padding_of, pair


def max_pool(
    x: jax.Array,
    window: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
) -> jax.Array:
    """The largest value under each window: (batch, height, width, c) -> (batch, height', width', c).

    Padding as in `correlate`.

    Raises:
      UserError: x is no batch of images, or too small for the window.
    """
    strides = pair(window if strides is None else strides)
    check_window(x, pair(window), padding)
    return cpu.max_pool(x, pair(window), strides, padding_of(padding))


def avg_pool(
    x: jax.Array,
    window: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
) -> jax.Array:
    """The mean under each window: (batch, height, width, c) -> (batch, height', width', c).

    At the border the padding is left out of the mean (Keras, TensorFlow).

    Raises:
      UserError: x is no batch of images, or too small for the window.
    """
    strides = pair(window if strides is None else strides)
    check_window(x, pair(window), padding)
    return linen.avg_pool(
        x, window_shape=pair(window), strides=strides, padding=padding_of(padding), count_include_pad=False
    )


def global_avg_pool(x: jax.Array) -> jax.Array:
    """The mean of every channel: (batch, height, width, c) -> (batch, c)."""
    check_window(x, (1, 1), "valid")
    return jnp.mean(x, axis=(1, 2))


def global_max_pool(x: jax.Array) -> jax.Array:
    """The maximum of every channel: (batch, height, width, c) -> (batch, c)."""
    check_window(x, (1, 1), "valid")
    return jnp.max(x, axis=(1, 2))
