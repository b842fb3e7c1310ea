"""Batch normalization with Keras's constants, and two context managers that change it from outside a model.

A model calls ``BatchNorm(...)(x, train)`` and need not handle padded batches or frozen backbones: for these,
the train step enters the context managers `batch_mask` and `frozen_batch_norm`.
"""

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from jax import lax

from jaxnets.errors import UserError
from jaxnets.nn.bias import channelwise
from jaxnets.nn.initializers import INITIALIZERS, Initializer, get_initializer
from jaxnets.nn.operation import operation


def batch_statistics(
    x: jax.Array, mask: jax.Array | None = None, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Returns the mean and the biased variance of each channel over all other axes.

    Args:
      x: (batch, ..., channels), float32 or wider.
      mask: (batch,) of 0/1; examples with 0 do not count. With more axes of x in front, such as
        (batch, time), the same for each of their entries.
      axis_name: A mapped axis (pmap, shard_map) over whose devices the statistics are taken.

    Returns:
      The mean, (channels,), and the variance, (channels,).
    """
    axes = tuple(range(x.ndim - 1))
    if 0 in x.shape and axis_name is None:  # no example at all
        return jnp.zeros(x.shape[-1:], x.dtype), jnp.zeros(x.shape[-1:], x.dtype)

    def over_devices(reduce: Callable, value: jax.Array) -> jax.Array:
        return value if axis_name is None else reduce(value, axis_name)

    if mask is None:

        def average(values: jax.Array) -> jax.Array:
            return over_devices(lax.pmean, jnp.mean(values, axes))
    else:
        kept = mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim)) > 0
        count = over_devices(lax.psum, jnp.sum(kept) * math.prod(x.shape[mask.ndim : -1]))
        count = jnp.maximum(count, 1).astype(x.dtype)  # no division by zero in a batch of padding alone

        def average(values: jax.Array) -> jax.Array:
            # `where`, not a product: a padding example may hold anything, nan included
            return over_devices(lax.psum, jnp.sum(jnp.where(kept, values, 0), axes)) / count

    mean = average(x)
    return mean, average(jnp.square(channelwise(operator.sub, x, mean)))


@operation("normalize")
def normalize(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
    """Returns ``(x - mean) / sqrt(var + epsilon) * scale + bias`` along the last axis.

    It is one product and one sum, in Keras's order, so that the rounding agrees too: otherwise a ReLU after a
    normalization could be on here and off in Keras, which shows in the gradients of deep networks.
    """
    factor = lax.rsqrt(var + epsilon) * scale
    offset = -mean * factor + bias
    return channelwise(lambda x, factor, offset: x * factor + offset, x, factor, offset)


@operation("normalize_batch")
def normalize_batch(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
    axis_name: str | None,
    shift: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns x normalized with its own statistics, float32 or wider, and their mean and variance.

    See `batch_statistics`. The shift (channels,), a guess at the mean, is for formulations that read x once.
    """
    x = x.astype(jnp.promote_types(jnp.float32, x.dtype))
    mean, var = batch_statistics(x, mask, axis_name)
    return normalize(x, mean, var, scale, bias, epsilon), mean, var


def _by_statistics(layer: Any, x: jax.Array, train: bool, mask: jax.Array | None) -> jax.Array:
    """Returns x normalized along its last axis, with the layer's variables."""
    channels = (x.shape[-1],)
    scale, bias = (
        layer.param(name, get_initializer(init), channels, jnp.float32)
        if used
        else INITIALIZERS[neutral](None, channels, jnp.float32)
        for name, used, init, neutral in (
            ("scale", layer.use_scale, layer.scale_init, "ones"),
            ("bias", layer.use_bias, layer.bias_init, "zeros"),
        )
    )
    running_mean = layer.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
    running_var = layer.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)

    dtype = layer.dtype or x.dtype
    if not train:
        x = x.astype(jnp.promote_types(jnp.float32, x.dtype))
        y = normalize(x, running_mean.value, running_var.value, scale, bias, layer.epsilon)
    else:
        # Under init there is no mapped axis to average over.
        axis_name = None if layer.is_initializing() else layer.axis_name
        y, mean, var = normalize_batch(x, scale, bias, layer.epsilon, mask, axis_name, running_mean.value)
        if not layer.is_initializing():
            for running, batch in ((running_mean, mean), (running_var, var)):
                moved = layer.momentum * running.value + (1 - layer.momentum) * batch
                running.value = moved.astype(running.value.dtype)
    return y.astype(dtype)


class BatchNorm(linen.Module):
    """Batch normalization (Ioffe and Szegedy 2015) as in Keras.

    In training, it normalizes with the batch's mean and biased variance and updates the running ones:
    ``running = momentum * running + (1 - momentum) * batch``. Otherwise it uses the running ones. Params
    ``scale`` and ``bias``, statistics ``mean`` and ``var`` (collection "batch_stats"), all (channels,).
    The arithmetic is in float32 even if x is bfloat16; the output is in ``dtype`` (None: that of x).

    Attributes:
      momentum: Weight of the old running statistics in an update; .99 as in Keras.
      epsilon: Number added to the variance; 1e-3 as in Keras.
      axis_name: Mapped axis over whose devices the batch statistics are averaged.
      dtype: Type of the output.
      axis: Axis of x that holds the channels, the last one by default.
      use_scale, use_bias: Whether there are ``scale`` and ``bias``; Keras's ``scale`` and ``center``.
      scale_init, bias_init: Initializers of these, or their names in `INITIALIZERS`.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    axis_name: str | None = None
    dtype: Any = None
    axis: int = -1
    use_scale: bool = True
    use_bias: bool = True
    scale_init: str | Initializer = "ones"
    bias_init: str | Initializer = "zeros"

    @linen.compact
    def __call__(self, x: jax.Array, train: bool, mask: jax.Array | None = None) -> jax.Array:
        """Normalizes x (batch, ..., channels).

        Args:
          x: Array of two or more axes.
          train: Whether to normalize with the batch's own statistics and update the running ones.
          mask: (batch,) of 0/1, which excludes padding examples from the statistics, or (batch, time), which
            excludes padding steps: the first axes of x without that of the channels.

        Raises:
          UserError: If x has no such axis, or the mask does not fit.
        """
        if not -x.ndim <= self.axis < x.ndim or x.ndim < 2:
            raise UserError(f"BatchNorm over axis {self.axis}: {x.shape} has no such axis of channels")
        last = self.axis % x.ndim == x.ndim - 1
        x = x if last else jnp.moveaxis(x, self.axis, -1)
        if mask is not None and mask.shape != x.shape[: min(mask.ndim, x.ndim - 1)]:
            raise UserError(
                f"a mask of shape {mask.shape} does not fit {x.shape[:-1]}, the axes that are averaged: "
                f"it must be one number per example, {x.shape[:1]}, or one for each entry of further axes"
            )
        y = _by_statistics(self, x, train, mask)
        return y if last else jnp.moveaxis(y, -1, self.axis)


# Parts of jit's cache key: a function jitted outside such a context, or inside another, is traced anew.
_masked, _frozen = jax.make_user_context(None), jax.make_user_context(None)


def _both(mask: jax.Array, own: jax.Array | None) -> jax.Array:
    """Returns the mask of what counts by the batch's and, if the model gives one, by the layer's own mask."""
    return mask if own is None else (mask.reshape(-1, *(1,) * (own.ndim - 1)) > 0) & (own > 0)


@contextmanager
def batch_mask(mask: jax.Array) -> Iterator[None]:
    """Context manager within which every BatchNorm excludes examples with mask 0 from its statistics.

    Enter it inside the jitted function, with a mask that is one of its arguments. Around a jitted function it
    gives the same result, but the function is recompiled for every mask.

    Args:
      mask: (batch,) of 0/1, one number per example of the batch that the model is applied to.

    Examples:
      >>> x, mask = jnp.array([[1.0], [3.0], [100.0]]), jnp.array([1.0, 1.0, 0.0])
      >>> layer = BatchNorm()
      >>> variables = layer.init(jax.random.key(0), x, train=False)
      >>> with batch_mask(mask):
      ...     y, new = layer.apply(variables, x, train=True, mutable=["batch_stats"])
      >>> y[:2, 0].round(2).tolist()  # as if the third example were not there
      [-1.0, 1.0]
    """

    def pass_mask(call, args, kwargs, context):
        if isinstance(context.module, BatchNorm) and context.method_name == "__call__":
            own = args[2] if len(args) > 2 else kwargs.get("mask")
            args, kwargs = args[:2], {**kwargs, "mask": _both(mask, own)}
        return call(*args, **kwargs)

    with _masked(None if isinstance(mask, jax.core.Tracer) else object()), linen.intercept_methods(pass_mask):
        yield


@contextmanager
def frozen_batch_norm(is_frozen: Callable[[tuple[str, ...]], bool]) -> Iterator[None]:
    """Context manager within which the chosen BatchNorms use and keep their running statistics in training.

    Args:
      is_frozen: Returns for a layer's path, e.g. ``("backbone", "bn1")``, whether that layer is frozen.
    """

    def stop_training(call, args, kwargs, context):
        module = context.module
        if isinstance(module, BatchNorm) and context.method_name == "__call__" and is_frozen(module.path):
            args, kwargs = args[:1], {**kwargs, "train": False}
        return call(*args, **kwargs)

    with _frozen(is_frozen), linen.intercept_methods(stop_training):
        yield
