"""Xception, as in keras.applications."""

from typing import Any

import jax
from flax import linen

from jaxnets import nn


class Xception(linen.Module):
    """36 convolutions, 34 of them separable, in 14 blocks, 12 of these with a shortcut.

    22,910,480 parameters with 1,000 classes, 54,528 of them not trainable; 20,861,480 without the head,
    which ``features=True`` never builds. Images must be 71x71 or larger; ImageNet's are 299x299. Layers are
    named as in keras.applications; the shortcuts that Keras merely numbers are ``block2_shortcut_conv`` and
    ``block2_shortcut_bn``, and so on for blocks 3, 4 and 13. Source: Chollet 2017.
    """

    num_classes: int = 1000
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or 2,048 features."""

        def norm(x: jax.Array, name: str) -> jax.Array:
            return nn.BatchNorm(axis_name=self.axis_name, name=f"{name}_bn")(x, train)

        def conv(x: jax.Array, width: int, size: int, name: str, strides: int, padding: str) -> jax.Array:
            layer = nn.Conv(width, size, strides, padding, use_bias=False, dtype=self.dtype, name=name)
            return norm(layer(x), name)

        def separable(x: jax.Array, width: int, name: str) -> jax.Array:
            layer = nn.SeparableConv(width, 3, padding="same", use_bias=False, dtype=self.dtype, name=name)
            return norm(layer(x), name)

        def shrinking_block(x: jax.Array, widths: tuple[int, int], block: int) -> jax.Array:
            name = f"block{block}_shortcut"
            shortcut = nn.Conv(
                widths[1], 1, 2, padding="same", use_bias=False, dtype=self.dtype, name=f"{name}_conv"
            )(x)
            shortcut = norm(shortcut, name)
            for number, width in enumerate(widths, start=1):
                if block > 2 or number > 1:  # the first one's input has already passed a ReLU
                    x = linen.relu(x)
                x = separable(x, width, f"block{block}_sepconv{number}")
            return nn.max_pool(x, 3, strides=2, padding="same") + shortcut

        x = linen.relu(conv(x, 32, 3, "block1_conv1", strides=2, padding="valid"))
        x = linen.relu(conv(x, 64, 3, "block1_conv2", strides=1, padding="valid"))
        for block, width in ((2, 128), (3, 256), (4, 728)):
            x = shrinking_block(x, (width, width), block)
        for block in range(5, 13):
            shortcut = x
            for number in (1, 2, 3):
                x = separable(linen.relu(x), 728, f"block{block}_sepconv{number}")
            x = x + shortcut
        x = shrinking_block(x, (728, 1024), 13)
        x = linen.relu(separable(x, 1536, "block14_sepconv1"))
        x = linen.relu(separable(x, 2048, "block14_sepconv2"))
        x = nn.global_avg_pool(x)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="predictions")(x)
