"""Small convolutional networks for 28x28 grey images: E4 and E6, E5, F3."""

from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class CNN(linen.Module):
    """Two 5x5 convolutions (32, 64) with max pooling, 1,024 units, ``num_classes`` logits (E4).

    3,274,634 parameters at 28x28x1. E6 is the same network with ``dropout=0.5`` in front of the head,
    kernels from a truncated normal of deviation .01 and biases that start at .1.
    """

    num_classes: int = 10
    dropout: float = 0.0
    kernel_init: str | nn.Initializer = "glorot_uniform"
    bias_init: str | nn.Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Logits (batch, num_classes) of images (batch, height, width, c), or 1,024 features."""
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
    """Standard normal divided by the number of inputs, as E5 starts its softmax layer."""
    return jax.random.normal(key, shape, dtype) / shape[0]


class CNN8(linen.Module):
    """The NumPy network of E5: 8 filters 3x3 without bias or activation, max pooling, softmax layer.

    28x28x1 -> 26x26x8 -> 13x13x8 -> 10; 13,602 parameters. Meant for inputs ``x/255 - 0.5``.
    """

    num_classes: int = 10
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Logits (batch, num_classes), or the flattened pooled maps when ``features``."""
        ninth_normal = jax.nn.initializers.normal(1 / 9)
        x = nn.Conv(8, 3, use_bias=False, kernel_init=ninth_normal, dtype=self.dtype, name="conv1")(x)
        x = nn.max_pool(x, 2)
        x = nn.flatten(x)
        if features:
            return x
        return nn.Dense(self.num_classes, kernel_init=normal_over_inputs, dtype=self.dtype, name="head")(x)


class FashionCNN(linen.Module):
    """Five convolutions in three groups, two hidden layers with dropout (F3).

    Convolution 64 of 7x7, 128 twice and 256 twice of 3x3, all padded, ReLU, max pooling after each group;
    128 and 64 units with dropout .5. 1,413,834 parameters at 28x28x1.
    """

    num_classes: int = 10
    dropout: float = 0.5
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Logits (batch, num_classes) of images (batch, height, width, c), or 64 features."""
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
