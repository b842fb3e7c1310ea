"""VGG: groups of padded 3x3 convolutions, two wide layers and a head."""

from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class VGG(linen.Module):
    """VGG for CIFAR-10, with batch normalization (the defaults), and for ImageNet, as in Keras.

    Layers are named as in keras.applications: ``block1_conv1`` ..., ``fc1``, ``fc2``, ``predictions``; the
    batch normalizations are ``block1_bn1`` .... Source: Simonyan and Zisserman 2015; docs/results.md, row C4.

    Attributes:
      convs: Number of convolutions in each of the five groups (64, 128, 256, 512, 512 channels).
      width: Units of each of the two hidden layers.
      batch_norm: Whether there is BN between a convolution and its ReLU.
      dropout: Dropout rate after every group and every hidden layer.
      pool_padding: Padding of the pooling, "same", or "valid" as in keras.applications (for odd sizes).
      num_classes: Width of the head.
      axis_name: Axis name for BatchNorm; see `nn.BatchNorm`.
      dtype: Type of the arithmetic.
    """

    convs: tuple[int, ...] = (2, 2, 3, 3, 3)
    width: int = 512
    batch_norm: bool = True
    dropout: float = 0.2
    pool_padding: str = "same"
    num_classes: int = 10
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or ``width`` features."""
        channels = (64, 128, 256, 512, 512)
        for group, (width, count) in enumerate(zip(channels, self.convs, strict=True), start=1):
            for number in range(1, count + 1):
                name = f"block{group}_conv{number}"
                x = nn.Conv(width, 3, padding="same", dtype=self.dtype, name=name)(x)
                if self.batch_norm:
                    x = nn.BatchNorm(axis_name=self.axis_name, name=f"block{group}_bn{number}")(x, train)
                x = linen.relu(x)
            x = nn.max_pool(x, 2, padding=self.pool_padding)
            x = nn.Dropout(self.dropout)(x, train)
        x = nn.flatten(x)
        for number in (1, 2):
            x = linen.relu(nn.Dense(self.width, dtype=self.dtype, name=f"fc{number}")(x))
            x = nn.Dropout(self.dropout)(x, train)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="predictions")(x)


ImageNetVGG = partial(VGG, width=4096, batch_norm=False, dropout=0.0, pool_padding="valid", num_classes=1000)
VGG16 = partial(ImageNetVGG, convs=(2, 2, 3, 3, 3))
VGG19 = partial(ImageNetVGG, convs=(2, 2, 4, 4, 4))
