"""Fully connected networks: the perceptron for iris and the multilayer perceptron."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class MLP(linen.Module):
    """The flattened input, then hidden layers of the given widths, then ``num_classes`` logits.

    Input (batch, ...), output (batch, num_classes). The default is the MNIST network 784-128-10 with 101,770
    parameters; without hidden layers it is the perceptron. Source: docs/results.md, rows B2 and B1.
    """

    widths: tuple[int, ...] = (128,)
    num_classes: int = 10
    activation: Callable[[jax.Array], jax.Array] = linen.relu
    kernel_init: str | nn.Initializer = "glorot_uniform"
    bias_init: str | nn.Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes), or the last hidden layer if ``features``."""
        dense = partial(nn.Dense, kernel_init=self.kernel_init, bias_init=self.bias_init, dtype=self.dtype)
        x = nn.flatten(x)
        for number, width in enumerate(self.widths, start=1):
            x = self.activation(dense(width, name=f"dense{number}")(x))
        if features:
            return x
        return dense(self.num_classes, name="head")(x)


Perceptron = partial(MLP, widths=(), num_classes=3)
