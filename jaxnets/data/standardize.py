"""Functions for the `preprocess` of a step, besides the division by 255."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.sampler import Batches
from jaxnets.data.source import Source


class Moments(NamedTuple):
    """Means and standard deviations of stored values (0 to 255 for images), over a training set.

    Attributes:
        mean: Means, float32 (C,), or (H, W, C) per pixel.
        std: Standard deviations, of the same shape as the means.
    """

    mean: np.ndarray
    std: np.ndarray


def fit_moments(source: Source, per: Literal["channel", "pixel"] = "channel") -> Moments:
    """Returns the moments of all examples, per channel as Keras's featurewise ones or per pixel."""
    axes = (0,) if per == "pixel" else tuple(range(len(source.features.shape)))
    total = square = count = np.zeros(())
    for batch in Batches(source, 256).epoch():
        x = batch["x"][batch["mask"] > 0].astype(np.float64)
        total, square = total + x.sum(axis=axes), square + np.square(x).sum(axis=axes)
        count = count + np.prod([x.shape[axis] for axis in axes])
    mean = total / count
    std = np.sqrt(np.maximum(square / count - np.square(mean), 0))
    return Moments(np.asarray(mean, np.float32), np.asarray(std, np.float32))


def standardize(moments: Moments, epsilon: float = 1e-6) -> Callable[[jax.Array], jax.Array]:
    """Returns x -> (x - mean) / (std + epsilon): Keras's featurewise centring and normalization.

    Examples:
        >>> preprocess = standardize(Moments(np.float32([100]), np.float32([50])), epsilon=0)
        >>> preprocess(jnp.uint8([[[[200]]]])).item()
        2.0
    """
    mean, std = (np.expand_dims(values, tuple(range(4 - values.ndim))) for values in moments)
    return lambda x: (x.astype(jnp.float32) - mean) / (std + epsilon)


def rescale(factor: float, offset: float = 0.0) -> Callable[[jax.Array], jax.Array]:
    """Returns x -> factor x + offset, Keras's rescale; rescale(1 / 127.5, -1) gives Xception's -1 ... 1."""
    return lambda x: x.astype(jnp.float32) * factor + offset
