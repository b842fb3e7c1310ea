"""Pooling over the axes between the batch and the channels; strides default to the window, as in Keras.

The length of a window says what is pooled: ``(2,)`` is a window of sequences (batch, time, c), ``(2, 3)`` of
images (batch, height, width, c), ``(2, 3, 2)`` of volumes; one number is that of an image's, in both
dimensions.
"""

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.pooling import pool
from jax import lax

from jaxnets.errors import UserError, expect_sizes
from jaxnets.nn.operation import operation
from jaxnets.nn.window import Padding, Size, check_window, cropped, padding_of, per_axis, rank_of


@operation("max_pool")
def _max_pool(x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding) -> jax.Array:
    # By keyword: the ONNX converter replaces this function by one that takes only keywords.
    return linen.max_pool(x, window_shape=window, strides=strides, padding=padding)


def _windows(
    x: jax.Array, window: Size, strides: Size | None, padding: Padding
) -> tuple[jax.Array, tuple[int, ...], tuple[int, ...], Padding]:
    expect_sizes("window", window)
    if strides is not None:
        expect_sizes("strides", strides)
    rank = rank_of(window)
    window = per_axis(window, rank)
    check_window(x, window, padding)
    x, padding = cropped(x, padding_of(padding, window))
    return x, window, window if strides is None else per_axis(strides, rank), padding


def max_pool(
    x: jax.Array,
    window: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
) -> jax.Array:
    """Returns the maximum of each window, (batch, height, width, c) -> (batch, height', width', c).

    The padding is as in `correlate`.

    Raises:
      UserError: If x does not have the rank of the window, or its maps are too small for the window.
    """
    return _max_pool(*_windows(x, window, strides, padding))


def avg_pool(
    x: jax.Array,
    window: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
) -> jax.Array:
    """Returns the mean of each window, (batch, height, width, c) -> (batch, height', width', c).

    At the border, the padding is excluded from the mean, as in Keras and TensorFlow.

    Raises:
      UserError: If x does not have the rank of the window, or its maps are too small for the window.
    """
    x, window, strides, padding = _windows(x, window, strides, padding)
    how = {"window_shape": window, "strides": strides, "padding": padding}
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)
    counts = pool(jnp.ones((1, *x.shape[1:-1], 1), x.dtype), 0.0, lax.add, **how)
    return pool(x, 0.0, lax.add, **how) / counts


def global_avg_pool(
    x: jax.Array, mask: jax.Array | None = None, *, rank: int = 2, keepdims: bool = False
) -> jax.Array:
    """Returns the mean of every channel, (batch, height, width, c) -> (batch, c).

    Args:
      x: Images; with rank 1 sequences (batch, time, c), with rank 3 volumes.
      mask: (batch, time) of 0/1, or (batch, height, width); what has 0 does not count, as in Keras's
        GlobalAveragePooling1D. If all has 0, the mean is 0.
      rank: Number of the axes to average over.
      keepdims: Whether these axes stay, with length 1.

    Raises:
      UserError: If x has not this rank.
    """
    check_window(x, (1,) * rank, "valid")
    axes = tuple(range(1, rank + 1))
    if mask is None:
        return jnp.mean(x, axis=axes, keepdims=keepdims)
    if mask.shape != x.shape[:-1]:
        raise UserError(f"a mask of shape {mask.shape} does not fit {x.shape}: it must be {x.shape[:-1]}")
    kept = mask[..., None] > 0
    count = jnp.maximum(jnp.sum(kept, axis=axes, keepdims=keepdims), 1)
    return jnp.sum(jnp.where(kept, x, 0), axis=axes, keepdims=keepdims) / count.astype(x.dtype)


def global_max_pool(x: jax.Array, *, rank: int = 2, keepdims: bool = False) -> jax.Array:
    """Returns the maximum of every channel, (batch, height, width, c) -> (batch, c).

    The rank and ``keepdims`` are as in `global_avg_pool`.
    """
    check_window(x, (1,) * rank, "valid")
    return jnp.max(x, axis=tuple(range(1, rank + 1)), keepdims=keepdims)
