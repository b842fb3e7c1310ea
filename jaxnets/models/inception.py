"""Inception-10: the unit of GoogLeNet in a small network for CIFAR-10."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets import nn


class Inception10(linen.Module):
    """A convolution, then blocks of two four-branch units, the first at stride 2, then a mean and the head.

    Branches: 1x1; 1x1 and 3x3; 1x1 and 5x5; 3x3 max pooling and 1x1. Each convolution has BN and ReLU, and
    the 1x1 one has the stride. 121,418 parameters at 32x32x3, 1,184 of them not trainable. Source: Szegedy et
    al. 2015; docs/results.md, row C5.

    Attributes:
      num_classes: Width of the head.
      width: Channels of the first convolution and of a branch in the first block; doubles with every block.
      num_blocks: Number of blocks of two units.
      fixed_affine: Whether BN keeps its initial statistics (0, 1), so that it is a trained scale and shift:
        the document calls it with ``training=False`` even in training. False is live batch normalization.
      axis_name: Axis name for BatchNorm; see `nn.BatchNorm`.
      dtype: Type of the arithmetic.
    """

    num_classes: int = 10
    width: int = 16
    num_blocks: int = 2
    fixed_affine: bool = True
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or 128 features."""

        def conv(x: jax.Array, width: int, size: int, name: str, strides: int = 1) -> jax.Array:
            x = nn.Conv(width, size, strides, padding="same", dtype=self.dtype, name=f"{name}_conv")(x)
            norm = nn.BatchNorm(axis_name=self.axis_name, name=f"{name}_bn")
            return linen.relu(norm(x, train and not self.fixed_affine))

        def unit(x: jax.Array, width: int, strides: int, name: str) -> jax.Array:
            one = conv(x, width, 1, f"{name}_1x1", strides)
            three = conv(x, width, 1, f"{name}_3x3_reduce", strides)
            three = conv(three, width, 3, f"{name}_3x3")
            five = conv(x, width, 1, f"{name}_5x5_reduce", strides)
            five = conv(five, width, 5, f"{name}_5x5")
            pool = nn.max_pool(x, 3, strides=1, padding="same")
            pool = conv(pool, width, 1, f"{name}_pool", strides)
            return jnp.concatenate([one, three, five, pool], axis=-1)

        x = conv(x, self.width, 3, "stem")
        for block in range(self.num_blocks):
            width = self.width * 2**block
            x = unit(x, width, 2, f"block{block + 1}_unit1")
            x = unit(x, width, 1, f"block{block + 1}_unit2")
        x = nn.global_avg_pool(x)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
