"""Residual networks (He et al. 2016): ResNet-18 for CIFAR-10 (C6), ResNet-34 (F9), ResNet-50 (F4).

One class; stem and residual block are functions given to it. Layers carry the names of keras.applications:
``conv1_conv``, ``conv1_bn``, ``conv2_block1_1_conv`` ... (0 is the projection), ``predictions``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets import nn


class ConvNorm(Protocol):
    """A convolution with its batch normalization, as the network hands it to stems and blocks."""

    def __call__(
        self, x: jax.Array, width: int, size: int, name: str, strides: int = 1, padding: nn.Padding = "same"
    ) -> jax.Array:
        """(batch, height, width, c) -> (batch, height', width', width)."""


def cifar_stem(x: jax.Array, conv: ConvNorm) -> jax.Array:
    """3x3 at stride 1: small images keep their size."""
    return linen.relu(conv(x, 64, 3, "conv1"))


def imagenet_stem(x: jax.Array, conv: ConvNorm) -> jax.Array:
    """7x7 at stride 2, then 3x3 max pooling at stride 2, both with "same" padding."""
    x = linen.relu(conv(x, 64, 7, "conv1", strides=2))
    return nn.max_pool(x, 3, strides=2, padding="same")


def symmetric_stem(x: jax.Array, conv: ConvNorm) -> jax.Array:
    """The stem of keras.applications: zeros on all four sides where "same" would pad one end more."""
    x = linen.relu(conv(x, 64, 7, "conv1", strides=2, padding=((3, 3), (3, 3))))
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return nn.max_pool(x, 3, strides=2)


def basic_block(
    x: jax.Array, conv: ConvNorm, width: int, strides: int, stage_start: bool, name: str
) -> jax.Array:
    """Two 3x3 convolutions; only the start of a stage that shrinks the image projects its shortcut."""
    shortcut = conv(x, width, 1, f"{name}_0", strides) if stage_start and strides > 1 else x
    x = linen.relu(conv(x, width, 3, f"{name}_1", strides))
    x = conv(x, width, 3, f"{name}_2")
    return linen.relu(shortcut + x)


def bottleneck_block(
    x: jax.Array, conv: ConvNorm, width: int, strides: int, stage_start: bool, name: str
) -> jax.Array:
    """1x1, 3x3 and 1x1 to four times the width (v1: the stride is in the first); stage starts project."""
    shortcut = conv(x, 4 * width, 1, f"{name}_0", strides) if stage_start else x
    x = linen.relu(conv(x, width, 1, f"{name}_1", strides))
    x = linen.relu(conv(x, width, 3, f"{name}_2"))
    x = conv(x, 4 * width, 1, f"{name}_3")
    return linen.relu(shortcut + x)


class ResNet(linen.Module):
    """Stem, stages of residual blocks with 64, 128, 256, 512 ... channels, global mean, head.

    The defaults are ResNet-18 for CIFAR-10: 11,183,562 parameters, 9,600 of them not trainable.

    Attributes:
      stage_sizes: Residual blocks per stage; every stage but the first starts at stride 2.
      stem: The layers before the first stage, e.g. `cifar_stem`.
      block: `basic_block` or `bottleneck_block`.
      conv_bias: Whether convolutions have biases (BN makes them idle; Keras's ResNet-50 has them).
      epsilon: Epsilon of BatchNorm.
      num_classes: Width of the head.
      axis_name: Axis name for BatchNorm; see `nn.BatchNorm`.
      dtype: Type of the arithmetic.
    """

    stage_sizes: tuple[int, ...] = (2, 2, 2, 2)
    stem: Callable[..., jax.Array] = cifar_stem
    block: Callable[..., jax.Array] = basic_block
    conv_bias: bool = False
    epsilon: float = 1e-3
    num_classes: int = 10
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Logits (batch, num_classes) of images (batch, height, width, c), or the mean feature vector."""

        def conv(
            x: jax.Array, width: int, size: int, name: str, strides: int = 1, padding: nn.Padding = "same"
        ) -> jax.Array:
            layer = nn.Conv(
                width, size, strides, padding, use_bias=self.conv_bias, dtype=self.dtype, name=f"{name}_conv"
            )
            norm = nn.BatchNorm(epsilon=self.epsilon, axis_name=self.axis_name, name=f"{name}_bn")
            return norm(layer(x), train)

        x = self.stem(x, conv)
        for stage, size in enumerate(self.stage_sizes):
            for number in range(size):
                strides = 2 if stage > 0 and number == 0 else 1
                name = f"conv{stage + 2}_block{number + 1}"
                x = self.block(x, conv, 64 * 2**stage, strides, number == 0, name)
        x = nn.global_avg_pool(x)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="predictions")(x)


ResNet18 = ResNet
# The ImageNet network as Keras users write it ("same" padding, BN with Keras's constants).
ResNet34 = partial(ResNet, stage_sizes=(3, 4, 6, 3), stem=imagenet_stem, num_classes=1000)
# keras.applications.ResNet50, to the letter.
ResNet50 = partial(
    ResNet,
    stage_sizes=(3, 4, 6, 3),
    stem=symmetric_stem,
    block=bottleneck_block,
    conv_bias=True,
    epsilon=1.001e-5,
    num_classes=1000,
)
