"""The calls in the configuration of a Keras model, whichever version wrote it, branch by branch."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from jaxnets.errors import UserError
from jaxnets.keras_weights.tree import config_name, layer_configs

Config = Mapping[str, Any]
ARRAYS = ("query", "value", "key", "y")  # inputs that some versions write among the settings of a call


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What a call of a layer returned, or one of several things that it returned."""

    layer: str
    node: int = 0
    """Number of the call, since a layer may be called more than once."""
    index: int = 0
    rank: int | None = dataclasses.field(default=None, compare=False)
    """Number of axes, if the file says so."""


@dataclasses.dataclass
class Call:
    """One call of a layer: tensors and numbers, and settings by name."""

    layer: str
    node: int
    inputs: list[Any]
    names: list[str] | None = None
    """Names of the inputs, if they were given as a dict."""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    mask: Any = None
    """The mask that Keras gives it: a tensor, None, or `masks.UNKNOWN`."""

    @property
    def tensors(self) -> list[Tensor]:
        return [value for value in self.inputs if isinstance(value, Tensor)]

    @property
    def needs(self) -> list[Tensor]:
        return [*self.tensors, *([self.mask] if isinstance(self.mask, Tensor) else [])]


@dataclasses.dataclass
class Model:
    """A sequential or functional model: its layers' configurations by name, and the calls of them."""

    name: str
    layers: dict[str, Config]
    inputs: dict[str, str]
    """Layers that stand for its inputs, by the names that a caller may give these."""
    takes_dict: bool
    calls: list[Call]
    """Those that its outputs need, each after those that it needs itself."""
    outputs: list[Tensor]
    output_names: list[str] | None
    """Names of the outputs, if the model returns a dict."""
    is_chain: bool = False
    """Whether it is sequential."""
    has_masks: bool = False
    """Whether its graph has the masks that pass from layer to layer, as Keras 3 writes it."""


def model_of(config: Config, where: str) -> Model | None:
    """Returns the model in a configuration; None for a layer, or a model without a graph.

    Raises:
        UserError: If the graph is not one.
    """
    layers = layer_configs(config)
    if layers is None:
        return None
    if not layers:
        raise UserError(f"{where} has a model without layers in its configuration")
    by_name: dict[str, Config] = {config_name(layer): layer for layer in layers}
    if len(by_name) < len(layers):
        raise UserError(f"{where} has two layers of one name in its configuration")
    settings = config["config"] if isinstance(config["config"], Mapping) else {}
    name = str(settings.get("name") or config_name(config) or "model")
    if not any("inbound_nodes" in layer for layer in layers):
        return _sequential(name, by_name)
    calls = {
        (layer, number): _call(layer, number, node)
        for layer, one in by_name.items()
        for number, node in enumerate(one.get("inbound_nodes") or [])
    }
    for call in calls.values():
        more = [one for one in ARRAYS if isinstance(call.settings.get(one), (Tensor, int, float))]
        call.inputs += [call.settings.pop(one) for one in more]
        call.inputs += _tensors(call.settings.pop("initial_state", None))[0]
        call.mask = call.settings.pop("mask", None)
    outputs, output_names = _tensors(settings.get("output_layers"))
    listed, names = _tensors(settings.get("input_layers"))
    inputs = [tensor.layer for tensor in listed] or [
        layer for layer, one in by_name.items() if one.get("class_name") == "InputLayer"
    ]
    outputs = outputs or [Tensor(list(by_name)[-1])]
    if not {*inputs} <= by_name.keys():
        raise UserError(f"{where} has a configuration whose inputs are none of its layers")
    if not all(isinstance(one, Tensor) for one in outputs):
        raise UserError(f"{where} has a configuration whose outputs are not those of layers")
    ordered = list(_ordered(calls, outputs, set(inputs), where))
    by_key = dict(zip(names or inputs, inputs, strict=True))
    nodes = [node for layer in layers for node in layer.get("inbound_nodes") or []]
    has_masks = any(isinstance(node, Mapping) for node in nodes)
    return Model(
        name, by_name, by_key, names is not None, ordered, outputs, output_names, has_masks=has_masks
    )


def _sequential(name: str, layers: dict[str, Config]) -> Model:
    names = list(layers)
    if layers[names[0]].get("class_name") == "InputLayer":
        start, *rest = names
    else:
        start, rest = "", names  # the name of no layer: its first one knows its own input
    calls = [Call(one, 0, [Tensor(before)]) for before, one in zip([start, *rest], rest, strict=False)]
    return Model(
        name, layers, {start: start}, False, calls, [Tensor(rest[-1] if rest else start)], None, True
    )


def _call(layer: str, number: int, node: Any) -> Call:
    if isinstance(node, Mapping) and ("args" in node or "kwargs" in node):  # Keras 3
        inputs, names = _tensors(node.get("args") or [])
        settings = {key: _value(value) for key, value in (node.get("kwargs") or {}).items()}
        settings.pop("training", None)  # whatever is written here, a caller's value takes its place
        return Call(layer, number, inputs, names, settings)
    inputs, names = _tensors(node)
    settings = {}
    for entry in _histories(node):
        for more in entry[3:4]:
            settings.update({key: _value(value) for key, value in dict(more).items()})
    return Call(layer, number, inputs, names, settings)


def _histories(value: Any) -> Iterator[list[Any]]:
    """Yields the tensor histories [layer, node, tensor, settings] in what Keras 2 writes of a call."""
    if _is_history(value):
        yield value
    elif isinstance(value, (list, Mapping)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _histories(inner)


def _is_history(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(type(number) is int for number in value[1:3])
    )


def _value(value: Any) -> Any:
    """Returns a value with its tensor, if it is one, as a `Tensor`."""
    if _is_history(value):
        return Tensor(*value[:3])
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        shape = value["config"].get("shape")
        rank = len(shape) if isinstance(shape, list) else None
        layer, node, index = value["config"]["keras_history"]
        return Tensor(str(layer), node, index, rank)
    return value


def _tensors(value: Any) -> tuple[list[Any], list[str] | None]:
    """Returns the tensors and other values anywhere in a list or dict, and their names if it is a dict."""
    value = _value(value)
    if isinstance(value, list) and len(value) == 1:
        return _tensors(value[0])
    if isinstance(value, Mapping) and "class_name" not in value:
        found = {str(key): _tensors(inner)[0] for key, inner in value.items()}
        return [one for inner in found.values() for one in inner], list(found)
    if isinstance(value, list):
        return [one for inner in value for one in _tensors(inner)[0]], None
    return ([] if value is None else [value]), None


def _ordered(
    calls: Mapping[tuple[str, int], Call], outputs: list[Tensor], inputs: set[str], where: str
) -> Iterator[Call]:
    """Yields the calls that the outputs need, branch by branch."""
    done: set[tuple[str, int]] = set()
    stack = [((one.layer, one.node), False) for one in reversed(outputs)]
    open_calls: set[tuple[str, int]] = set()
    while stack:
        key, ready = stack.pop()
        if key in done or key[0] in inputs:
            continue
        if key not in calls:
            raise UserError(
                f"{where} has a configuration that needs the output of {key[0]!r:.60}, which is none"
            )
        if ready:
            done.add(key)
            open_calls.discard(key)
            yield calls[key]
            continue
        if key in open_calls:
            raise UserError(f"{where} has a configuration in which {key[0]!r:.60} needs its own output")
        open_calls.add(key)
        stack.append((key, True))
        call = calls[key]
        stack += [
            ((one.layer, one.node), False)
            for one in reversed(call.needs)
            if (one.layer, one.node) not in done
        ]
