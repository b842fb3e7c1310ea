"""A small network that learns CIFAR-10 in a few epochs, as in airbench."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets import nn


def dirac(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Returns a kernel (h, w, in, out) that first copies its inputs; the rest is uniform, +-1/sqrt(hw in)."""
    height, width, inputs, outputs = shape
    bound = 1 / math.sqrt(height * width * inputs)
    kernel = jax.random.uniform(key, shape, dtype, -bound, bound)
    copies = min(inputs, outputs)
    copying = jnp.zeros((height, width, inputs, copies), dtype)
    copying = copying.at[height // 2, width // 2].set(jnp.eye(inputs, copies, dtype=dtype))
    return kernel.at[..., :copies].set(copying)


def unit_uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Returns uniform numbers with standard deviation 1."""
    return jax.random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3))


def patch_uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Returns biases (2 n,) of a layer over patches of n numbers, uniform in +-1/sqrt(n)."""
    bound = math.sqrt(2 / shape[0])
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class SpeedNet(linen.Module):
    """A whitening layer, three blocks of two 3x3 convolutions with max pooling, BN and GELU, a scaled head.

    The 2x2 convolution "whiten" has twice as many outputs as its patches have numbers (`whitening` computes
    its kernel from images; recipes then keep it fixed). The blocks are 64, 256 and 256 wide; global max
    pooling follows. BN has a low momentum (.6), and its scales are meant to stay 1. 1,975,096 parameters at
    32x32x3, 2,304 of them not trainable. Source: Jordan 2024, arXiv 2404.00498.
    """

    widths: tuple[int, ...] = (64, 256, 256)
    num_classes: int = 10
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for images (batch, height, width, c), or the head's inputs."""
        conv = partial(
            nn.Conv, kernel_size=3, padding="same", use_bias=False, kernel_init=dirac, dtype=self.dtype
        )
        norm = partial(nn.BatchNorm, momentum=0.6, epsilon=1e-12, axis_name=self.axis_name)
        gelu = partial(linen.gelu, approximate=False)
        patch = 4 * x.shape[-1]
        x = nn.Conv(2 * patch, 2, bias_init=patch_uniform, dtype=self.dtype, name="whiten")(x)
        x = gelu(x)
        for block, width in enumerate(self.widths, start=1):
            x = nn.max_pool(conv(width, name=f"block{block}_conv1")(x), 2)
            x = gelu(norm(name=f"block{block}_bn1")(x, train))
            x = conv(width, name=f"block{block}_conv2")(x)
            x = gelu(norm(name=f"block{block}_bn2")(x, train))
        x = nn.global_max_pool(x) / self.widths[-1]
        if features:
            return x
        return nn.Dense(
            self.num_classes, use_bias=False, kernel_init=unit_uniform, dtype=self.dtype, name="head"
        )(x)


def whitening(images: jax.Array, epsilon: float = 5e-4) -> tuple[jax.Array, jax.Array]:
    """Returns the kernel and bias of a 2x2 convolution with uncorrelated outputs of size 1 on these images.

    They are the eigenvectors of the patches' second moments, divided by the square roots of the eigenvalues,
    and the same with the opposite sign. The patches are taken from images standardized per channel; kernel
    and bias include that standardization, so that they apply to the images as they are.

    Args:
        images: Images, (batch, height, width, c), as the network gets them.
        epsilon: Number added to the eigenvalues, so that directions of little variance are not amplified.

    Returns:
        The kernel, (2, 2, c, 8 c), and the bias, (8 c,), which only subtracts the mean, both float32.
    """
    images = images.astype(jnp.float32)
    channels = images.shape[-1]
    mean, deviation = jnp.mean(images, (0, 1, 2)), jnp.std(images, (0, 1, 2))
    centred = (images - mean.reshape(1, 1, 1, -1)) / deviation.reshape(1, 1, 1, -1)
    height, width = images.shape[1] - 1, images.shape[2] - 1
    corners = [centred[:, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)]
    patches = jnp.concatenate(corners, axis=-1).reshape(-1, 4 * channels)
    moments = jnp.matmul(patches.T, patches, precision="highest") / len(patches)
    values, vectors = jnp.linalg.eigh(moments)
    vectors = vectors / jnp.sqrt(values + epsilon)[None, :]
    kernel = jnp.concatenate([vectors, -vectors], axis=1).reshape(2, 2, channels, 8 * channels)
    kernel = kernel / deviation.reshape(1, 1, -1, 1)
    return kernel, -jnp.einsum("hwio,i->o", kernel, mean, precision="highest")
