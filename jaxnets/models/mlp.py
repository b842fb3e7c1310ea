"""Fully connected networks: the iris perceptron (A11, B1), the multilayer perceptron (B2, A10)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class MLP(linen.Module):
    """Flattens its input, then hidden layers of the given widths, then ``num_classes`` logits.

    Input (batch, ...), output (batch, num_classes). The default is the documented MNIST network
    784-128-10 with 101,770 parameters; no hidden layer at all makes the perceptron.
    """

    widths: tuple[int, ...] = (128,)
    num_classes: int = 10
    activation: Callable[[jax.Array], jax.Array] = linen.relu
    kernel_init: str | nn.Initializer = "glorot_uniform"
    bias_init: str | nn.Initializer = "zeros"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Logits (batch, num_classes), or the last hidden layer when ``features``."""
        dense = partial(nn.Dense, kernel_init=self.kernel_init, bias_init=self.bias_init, dtype=self.dtype)
        x = nn.flatten(x)
        for number, width in enumerate(self.widths, start=1):
            x = self.activation(dense(width, name=f"dense{number}")(x))
        if features:
            return x
        return dense(self.num_classes, name="head")(x)


Perceptron = partial(MLP, widths=(), num_classes=3)
