"""What a Keras layer's configuration sets, and whether the module's layer is set to the same."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxnets.keras_weights.observe import Seen, is_recurrent
from jaxnets.keras_weights.weightless import ALL_ACTIVATIONS, ODD, activation_named, activation_of

Config = Mapping[str, Any]


class Difference(NamedTuple):
    """A setting that differs: its name, Keras's value and the module's."""

    setting: str
    theirs: Any
    ours: Any


def differences(layer: Config, seen: Seen, version: str) -> list[Difference]:
    """Returns the settings of a layer in which the module's layer differs, so that it computes otherwise."""
    config = layer.get("config", {})
    try:
        found = [
            *_convolution(config, seen),
            *_normalization(config, seen),
            *_recurrent(config, seen, version),
        ]
    except ODD:
        return []
    return [one for one in found if one.theirs != one.ours]


def momentum(layer: Config, seen: Seen) -> Difference | None:
    """Returns the momentum of a normalization, which matters in training alone, if it differs."""
    theirs, ours = layer.get("config", {}).get("momentum"), getattr(seen.module, "momentum", None)
    if (
        not isinstance(theirs, (int, float))
        or not isinstance(ours, (int, float))
        or math.isclose(theirs, ours)
    ):
        return None
    return Difference("momentum", theirs, ours)


def _convolution(config: Config, seen: Seen) -> list[Difference]:
    program = seen.convolution
    if program is None:
        return []
    strides, stretched = tuple(program["window_strides"]), tuple(program["lhs_dilation"])
    dilation, rank = tuple(program["rhs_dilation"]), len(strides)
    found = []
    if "strides" in config:
        ours = stretched if math.prod(stretched) > 1 else strides
        found.append(Difference("strides", per_axis(config["strides"], rank), ours))
    if "dilation_rate" in config:
        found.append(Difference("dilation_rate", per_axis(config["dilation_rate"], rank), dilation))
    padding = getattr(seen.module, "padding", None)
    if "output_padding" in config and isinstance(padding, str):  # what is transposed has no `pads`
        found.append(Difference("padding", config.get("padding"), padding.lower()))
        both = config["output_padding"], getattr(seen.module, "output_padding", None)
        found.append(
            Difference("output_padding", *(one if one is None else per_axis(one, rank) for one in both))
        )
    return found


def per_axis(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _normalization(config: Config, seen: Seen) -> list[Difference]:
    found = []
    ours = getattr(seen.module, "num_groups", None)
    if isinstance(config.get("groups"), int) and isinstance(ours, int):
        found.append(Difference("groups", config["groups"], ours))
    ours = getattr(seen.module, "epsilon", None)
    if isinstance(config.get("epsilon"), (int, float)) and isinstance(ours, (int, float)):
        same = math.isclose(config["epsilon"], ours, rel_tol=1e-4)
        found.append(Difference("epsilon", config["epsilon"], config["epsilon"] if same else ours))
    return found


def _recurrent(config: Config, seen: Seen, version: str) -> list[Difference]:
    found: list[Difference] = []
    if not is_recurrent(seen.module):
        return found
    for setting in ("activation", "recurrent_activation"):
        ours = getattr(seen.module, setting, None)
        ours = ALL_ACTIVATIONS.get(ours or "linear") if isinstance(ours, str | None) else ours
        if setting in config and callable(ours):
            # A file that does not say its version may mean the hard_sigmoid of Keras 2 or 3.
            theirs = [activation_of(config[setting], v) for v in ([version] if version else ["2.", "3."])]
            if not any(one is None or _equal(one, ours) for one in theirs):
                name = activation_named(config[setting], version) or str(config[setting])
                found.append(Difference(setting, name, _name(ours)))
    ours = getattr(seen.module, "reset_after", None)
    if "reset_after" in config and isinstance(ours, bool):
        found.append(Difference("reset_after", bool(config["reset_after"]), ours))
    return found


def _equal(one: Any, other: Any) -> bool:
    a, b = (function(jnp.linspace(-8.0, 8.0, 402)) for function in (one, other))
    return a.shape == b.shape and bool(jnp.allclose(a, b, rtol=1e-5, atol=1e-5))


def _name(function: Any) -> str:
    known = (name for name, other in ALL_ACTIVATIONS.items() if _equal(function, other))
    return next(known, getattr(function, "__name__", "another function"))
