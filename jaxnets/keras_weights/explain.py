"""Changes of a configuration that might explain why a module computes something else."""

from collections.abc import Iterator
from typing import Any

from jaxnets.keras_weights.replay import ACTIVATED, Config, Replay, Value, is_channels_first
from jaxnets.keras_weights.tree import Leaf, Path
from jaxnets.keras_weights.weightless import OTHERS

Change = tuple[Path, str, Any, Any, Config]  # layer, setting, Keras's value, another, configuration with that
LIKELY = [
    *(
        "linear",
        "relu",
        "tanh",
        "sigmoid",
        "gelu",
        "silu",
        "elu",
        "leaky_relu",
        "softmax",
        "relu6",
        "softplus",
    ),
    *("selu", "hard_sigmoid", "hard_silu", *OTHERS),
]


def in_between(replay: Replay, value: Value) -> str:
    """Returns in words what is computed between layers with weights."""
    steps = []
    for path in value.via:
        layer, name = replay.layer(path), "/".join(path)
        activation = layer.get("config", {}).get("activation")
        if path not in replay.leaves:
            steps.append(f"{name} ({layer.get('class_name')})")
        elif layer.get("class_name") in ACTIVATED and activation not in (None, "linear"):
            steps.append(f"{activation} of {name}")
    return ", ".join(steps) or "nothing"


def alternatives(replay: Replay, leaf: Leaf | None, value: Value) -> Iterator[Change]:
    """Yields what might have been meant, for a layer with weights (or the output) and what it is given."""
    if leaf is not None:
        yield from _own(leaf.path, replay.config(leaf))
    for path in value.via:
        layer = replay.layer(path)
        config, kind = layer.get("config", {}), str(layer.get("class_name"))
        if "activation" in config and (kind in ACTIVATED or kind == "Activation"):
            for name in LIKELY:
                yield path, "activation", config["activation"], name, _changed(layer, activation=name)
        if path not in replay.leaves:
            yield from _without_weights(path, layer, kind)


def _own(path: Path, layer: Config) -> Iterator[Change]:
    config = layer.get("config", {})
    for setting, values in {"padding": ("valid", "same", "causal"), "go_backwards": (False, True)}.items():
        for other in values:
            if setting in config:
                yield path, setting, config[setting], other, _changed(layer, **{setting: other})
    if is_channels_first(layer, 4):
        last = _changed(layer, data_format="channels_last", axis=-1)
        yield path, "data_format", "channels_first", "channels_last", last


def _without_weights(path: Path, layer: Config, kind: str) -> Iterator[Change]:
    config = layer.get("config", {})
    if kind in ("ReLU", "LeakyReLU", "ELU", "Softmax"):
        for name in LIKELY:
            yield path, "activation", kind, name, {"class_name": "Activation", "config": {"activation": name}}
    for one, other in (("Max", "Average"), ("Average", "Max")):
        if one in kind and "Pooling" in kind:
            changed = {**layer, "class_name": kind.replace(one, other)}
            yield path, "pooling", one.lower(), other.lower(), changed
    for other in ("valid", "same") if config.get("padding") in ("valid", "same") else ():
        yield path, "padding", config["padding"], other, _changed(layer, padding=other)
    yield path, "layer", kind, "none", {"class_name": "Identity", "config": {}}


def _changed(layer: Config, **settings: Any) -> Config:
    return {**layer, "config": {**layer.get("config", {}), **settings}}
