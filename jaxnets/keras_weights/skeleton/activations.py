"""Keras's activations as Python code."""

from collections.abc import Mapping
from typing import Any

from jaxnets.keras_weights.weightless import HARD_SIGMOID_KERAS2, activation_named

CODE = {  # of the argument {0}
    "relu": "linen.relu({0})",
    "relu6": "linen.relu6({0})",
    "leaky_relu": "linen.leaky_relu({0}, 0.2)",
    "sigmoid": "linen.sigmoid({0})",
    "tanh": "linen.tanh({0})",
    "softmax": "linen.softmax({0})",
    "log_softmax": "linen.log_softmax({0})",
    "elu": "linen.elu({0})",
    "celu": "linen.celu({0})",
    "selu": "linen.selu({0})",
    "gelu": "linen.gelu({0}, approximate=False)",
    "silu": "linen.silu({0})",
    "swish": "linen.silu({0})",
    "softplus": "linen.softplus({0})",
    "softsign": "linen.soft_sign({0})",
    "exponential": "jnp.exp({0})",
    "mish": "jax.nn.mish({0})",
    "hard_sigmoid": "linen.hard_sigmoid({0})",
    "hard_silu": "linen.hard_silu({0})",
    "hard_swish": "linen.hard_silu({0})",
    "hard_tanh": "linen.hard_tanh({0})",
    "log_sigmoid": "linen.log_sigmoid({0})",
    "squareplus": "jax.nn.squareplus({0})",
    "sparse_plus": "jax.nn.sparse_plus({0})",
    "sparse_sigmoid": "jax.nn.sparse_sigmoid({0})",
    HARD_SIGMOID_KERAS2: "nn.hard_sigmoid_keras2({0})",
}


class Unsupported(Exception):
    """A layer, or a setting of one, for which no code can be written; the message says which, in words."""


def activation_code(value: Any, version: str) -> str | None:
    """Returns the code of an activation in a configuration, with {0} for its argument; None for none."""
    name = activation_named(value, version)
    if name == "linear":
        return None
    if name not in CODE:
        shown = value.get("class_name") if isinstance(value, Mapping) else value
        raise Unsupported(f"its activation {shown!r:.60}")
    return CODE[name]


def as_function(code: str | None) -> str:
    """Returns the code of a function, for an argument of a layer."""
    code = code or "{0}"
    return code.removesuffix("({0})") if code.endswith("({0})") else f"lambda x: {code.format('x')}"
