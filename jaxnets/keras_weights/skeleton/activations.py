"""Keras's activations as Python code."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen

from jaxnets import nn
from jaxnets.keras_weights.weightless import HARD_SIGMOID_KERAS2, activation_named


class Unsupported(Exception):
    """A layer, or a setting of one, for which no code can be written; the message says which, in words."""


def name_of(value: Any, version: str) -> str:
    """Returns the name of an activation in a configuration."""
    name = activation_named(value, version)
    if name not in (*nn.ACTIVATIONS, HARD_SIGMOID_KERAS2):
        shown = value.get("class_name") if isinstance(value, Mapping) else value
        raise Unsupported(f"its activation {shown!r:.60}")
    return str(name)


def as_argument(name: str) -> str:
    """Returns the code of an activation for an argument of a layer: its name."""
    return "nn.hard_sigmoid_keras2" if name == HARD_SIGMOID_KERAS2 else f'"{name}"'


def as_function(name: str) -> str:
    """Returns the code of an activation's function."""
    if name == HARD_SIGMOID_KERAS2:
        return "nn.hard_sigmoid_keras2"
    for where, module in {"nn": nn, "linen": linen, "jax.nn": jax.nn}.items():
        if getattr(module, name, None) is nn.ACTIVATIONS[name]:
            return f"{where}.{name}"
    return f'nn.ACTIVATIONS["{name}"]'
