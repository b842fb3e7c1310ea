"""Residual networks: ResNet-18 for CIFAR-10, ResNet-34 and ResNet-50.

There is one class; the stem and the residual block are functions given to it. Layers are named as in
keras.applications: ``conv1_conv``, ``conv1_bn``, ``conv2_block1_1_conv`` ... (0 is the projection),
``predictions``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets import nn


class ConvNorm(Protocol):
    """A convolution with its batch normalization, as the network passes it to stems and blocks."""

    def __call__(
        self, x: jax.Array, width: int, size: int, name: str, strides: int = 1, padding: nn.Padding = "same"
    ) -> jax.Array:
        """Maps x (batch, height, width, c) to (batch, height', width', ``width`` channels)."""


def cifar_stem(x: jax.Array, conv: ConvNorm) -> jax.Array:
    """Applies a 3x3 convolution at stride 1, so that small images keep their size."""
    return linen.relu(conv(x, 64, 3, "conv1"))


def imagenet_stem(x: jax.Array, conv: ConvNorm) -> jax.Array:
    """Applies a 7x7 convolution, then 3x3 max pooling, both at stride 2 with "same" padding."""
    x = linen.relu(conv(x, 64, 7, "conv1", strides=2))
    return nn.max_pool(x, 3, strides=2, padding="same")


def symmetric_stem(x: jax.Array, conv: ConvNorm) -> jax.Array:
    """Applies the stem of keras.applications, `imagenet_stem` with equal padding on all four sides."""
    x = linen.relu(conv(x, 64, 7, "conv1", strides=2, padding=((3, 3), (3, 3))))
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return nn.max_pool(x, 3, strides=2)


def basic_block(
    x: jax.Array, conv: ConvNorm, width: int, strides: int, stage_start: bool, name: str
) -> jax.Array:
    """Applies two 3x3 convolutions; only a stage start that shrinks the image projects its shortcut."""
    shortcut = conv(x, width, 1, f"{name}_0", strides) if stage_start and strides > 1 else x
    x = linen.relu(conv(x, width, 3, f"{name}_1", strides))
    x = conv(x, width, 3, f"{name}_2")
    return linen.relu(shortcut + x)


def bottleneck_block(
    x: jax.Array, conv: ConvNorm, width: int, strides: int, stage_start: bool, name: str
) -> jax.Array:
    """Applies 1x1 (with the stride, as in v1), 3x3, and 1x1 to four times the width; stage starts project."""
    shortcut = conv(x, 4 * width, 1, f"{name}_0", strides) if stage_start else x
    x = linen.relu(conv(x, width, 1, f"{name}_1", strides))
    x = linen.relu(conv(x, width, 3, f"{name}_2"))
    x = conv(x, 4 * width, 1, f"{name}_3")
    return linen.relu(shortcut + x)


class ResNet(linen.Module):
    """A stem, stages of residual blocks with 64, 128, 256, 512 ... channels, a global mean and a head.

    The defaults are ResNet-18 for CIFAR-10: 11,183,562 parameters, 9,600 of them not trainable. Source: He et
    al. 2016; docs/results.md, rows C6, F9 (ResNet-34) and F4 (ResNet-50).

    Attributes:
      stage_sizes: Residual blocks per stage; every stage but the first starts at stride 2.
      stem: The layers before the first stage, e.g. `cifar_stem`.
      block: The residual block, `basic_block` or `bottleneck_block`.
      conv_bias: Whether convolutions have biases (redundant before BN, but Keras's ResNet-50 has them).
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
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or the mean features."""

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
# The ImageNet network as Keras users write it: "same" padding, BN with Keras's constants.
ResNet34 = partial(ResNet, stage_sizes=(3, 4, 6, 3), stem=imagenet_stem, num_classes=1000)
# Exactly keras.applications.ResNet50.
ResNet50 = partial(
    ResNet,
    stage_sizes=(3, 4, 6, 3),
    stem=symmetric_stem,
    block=bottleneck_block,
    conv_bias=True,
    epsilon=1.001e-5,
    num_classes=1000,
)
