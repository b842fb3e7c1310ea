"""Small convolutional networks for 28x28 grey images."""

from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class CNN(linen.Module):
    """Two 5x5 convolutions (32, 64) with max pooling, then 1,024 units and ``num_classes`` logits.

    3,274,634 parameters at 28x28x1. Source: docs/results.md, row E4; in row E6 it has ``dropout=0.5`` before
    the head, kernels from a truncated normal of deviation .01, and biases that start at .1.
    """

    num_classes: int = 10
    dropout: float = 0.0
    kernel_init: str | nn.Initializer = "glorot_uniform"
    bias_init: str | nn.Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or 1,024 features."""
        init = {"kernel_init": self.kernel_init, "bias_init": self.bias_init, "dtype": self.dtype}
        x = linen.relu(nn.Conv(32, 5, padding="same", name="conv1", **init)(x))
        x = nn.max_pool(x, 2)
        x = linen.relu(nn.Conv(64, 5, padding="same", name="conv2", **init)(x))
        x = nn.max_pool(x, 2)
        x = nn.flatten(x)
        x = linen.relu(nn.Dense(1024, name="dense1", **init)(x))
        x = nn.Dropout(self.dropout)(x, train)
        if features:
            return x
        return nn.Dense(self.num_classes, name="head", **init)(x)


def normal_over_inputs(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Returns standard normal numbers divided by the number of inputs, for the head of `CNN8`."""
    return jax.random.normal(key, shape, dtype) / shape[0]


class CNN8(linen.Module):
    """A 3x3 convolution of 8 channels without bias or activation, then max pooling and the head.

    28x28x1 -> 26x26x8 -> 13x13x8 -> 10; 13,602 parameters. It expects inputs ``x/255 - 0.5``. Source:
    docs/results.md, row E5, a network in NumPy.
    """

    num_classes: int = 10
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes), or the flattened pooled maps if ``features``."""
        ninth_normal = jax.nn.initializers.normal(1 / 9)
        x = nn.Conv(8, 3, use_bias=False, kernel_init=ninth_normal, dtype=self.dtype, name="conv1")(x)
        x = nn.max_pool(x, 2)
        x = nn.flatten(x)
        if features:
            return x
        return nn.Dense(self.num_classes, kernel_init=normal_over_inputs, dtype=self.dtype, name="head")(x)


class FashionCNN(linen.Module):
    """Five convolutions in three groups, then two hidden layers with dropout.

    A 7x7 convolution of 64 channels, then 3x3 ones of 128, 128, 256 and 256, all with padding and ReLU, max
    pooling after each group; 128 and 64 units with dropout .5. 1,413,834 parameters at 28x28x1. Source:
    docs/results.md, row F3.
    """

    num_classes: int = 10
    dropout: float = 0.5
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or 64 features."""
        conv = partial(nn.Conv, padding="same", dtype=self.dtype)
        x = linen.relu(conv(64, 7, name="conv1")(x))
        x = nn.max_pool(x, 2)
        x = linen.relu(conv(128, 3, name="conv2")(x))
        x = linen.relu(conv(128, 3, name="conv3")(x))
        x = nn.max_pool(x, 2)
        x = linen.relu(conv(256, 3, name="conv4")(x))
        x = linen.relu(conv(256, 3, name="conv5")(x))
        x = nn.max_pool(x, 2)
        x = nn.flatten(x)
        for number, width in enumerate((128, 64), start=1):
            x = linen.relu(nn.Dense(width, dtype=self.dtype, name=f"dense{number}")(x))
            x = nn.Dropout(self.dropout)(x, train)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
