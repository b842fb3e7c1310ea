"""LeNet-5 in the two documented forms."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class LeNet5(linen.Module):
    """Two 5x5 convolutions with max pooling, then 120, 84 and ``num_classes`` units.

    The default is the MNIST form (ReLU, first convolution padded, 61,706 parameters at 28x28x1);
    `LeNet5Sigmoid` is the CIFAR-10 form (sigmoid, no padding, 62,006 parameters at 32x32x3). Source: LeCun et
    al. 1998; docs/results.md, rows E2 and C2.
    """

    num_classes: int = 10
    activation: Callable[[jax.Array], jax.Array] = linen.relu
    first_padding: str = "same"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or 84 features."""
        x = self.activation(nn.Conv(6, 5, padding=self.first_padding, dtype=self.dtype, name="conv1")(x))
        x = nn.max_pool(x, 2)
        x = self.activation(nn.Conv(16, 5, dtype=self.dtype, name="conv2")(x))
        x = nn.max_pool(x, 2)
        x = nn.flatten(x)
        x = self.activation(nn.Dense(120, dtype=self.dtype, name="dense1")(x))
        x = self.activation(nn.Dense(84, dtype=self.dtype, name="dense2")(x))
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


LeNet5Sigmoid = partial(LeNet5, activation=linen.sigmoid, first_padding="valid")
