"""The first two CIFAR-10 networks with batch normalization: Baseline and AlexNet-8."""

from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class Baseline(linen.Module):
    """One convolution with BN, ReLU, pooling and dropout, then 128 units.

    198,506 parameters at 32x32x3, 12 of them not trainable. Source: docs/results.md, row C1.
    """

    num_classes: int = 10
    dropout: float = 0.2
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or 128 features."""
        x = nn.Conv(6, 5, padding="same", dtype=self.dtype, name="conv1")(x)
        x = nn.BatchNorm(axis_name=self.axis_name, name="bn1")(x, train)
        x = nn.max_pool(linen.relu(x), 2, padding="same")
        x = nn.Dropout(self.dropout)(x, train)
        x = nn.flatten(x)
        x = linen.relu(nn.Dense(128, dtype=self.dtype, name="dense1")(x))
        x = nn.Dropout(self.dropout)(x, train)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


class AlexNet8(linen.Module):
    """AlexNet, reduced to 3x3 kernels and 32x32 images.

    Convolutions of 96 and 256 channels without padding and with BN, then 384, 384 and 256 with padding and
    without BN; 3x3 max pooling at stride 2 after the first, second and fifth; two layers of 2,048 units with
    dropout .5. 9,639,178 parameters at 32x32x3, 704 of them not trainable. Source: Krizhevsky et al. 2012;
    docs/results.md, row C3.
    """

    num_classes: int = 10
    dropout: float = 0.5
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or 2,048 features."""
        conv = partial(nn.Conv, kernel_size=3, dtype=self.dtype)
        for number, width in enumerate((96, 256), start=1):
            x = conv(width, name=f"conv{number}")(x)
            x = nn.BatchNorm(axis_name=self.axis_name, name=f"bn{number}")(x, train)
            x = nn.max_pool(linen.relu(x), 3, strides=2)
        for number, width in enumerate((384, 384, 256), start=3):
            x = linen.relu(conv(width, padding="same", name=f"conv{number}")(x))
        x = nn.max_pool(x, 3, strides=2)
        x = nn.flatten(x)
        for number in (1, 2):
            x = linen.relu(nn.Dense(2048, dtype=self.dtype, name=f"dense{number}")(x))
            x = nn.Dropout(self.dropout)(x, train)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
