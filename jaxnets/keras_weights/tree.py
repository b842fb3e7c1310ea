"""A Keras model as a tree of named layers with their weights, whatever it was read from, and its flat order.

The readers turn a live model or a file into a `Node`; `flatten` lists the layers that own weights, with what
is known of their order: the graph of a functional or sequential model, if its configuration is available, and
the numbers that Keras appends to automatic names (``conv2d``, ``conv2d_1``, ...), which give the order in
which layers were created.
"""

import dataclasses
import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from jaxnets.errors import UserError

Path = tuple[str, ...]

# Keras's names of weights, in the order of `layer.weights`, and those of the Linen layers.
ROLES = {
    "depthwise_kernel": "depthwise_kernel",
    "pointwise_kernel": "pointwise_kernel",
    "kernel": "kernel",
    "recurrent_kernel": "recurrent_kernel",
    "embeddings": "embedding",
    "gamma": "scale",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "mean",
    "moving_variance": "var",
}
ROLE_ORDER = list(dict.fromkeys(ROLES.values()))

# Keras's class in snake case for a Linen layer, the name of the layer's group in a .weights.h5.
KERAS_NAMES = {
    "Conv": "conv{rank}d",
    "ConvTranspose": "conv{rank}d_transpose",
    "DepthwiseConv": "depthwise_conv{rank}d",
    "SeparableConv": "separable_conv{rank}d",
    "Dense": "dense",
    "BatchNorm": "batch_normalization",
    "LayerNorm": "layer_normalization",
    "Embedding": "embedding",
    "Embed": "embedding",
    "SimpleRNN": "simple_rnn",
    "LSTM": "lstm",
    "GRU": "gru",
}

AUTOMATIC_NAME = re.compile(
    r"((?:separable_|depthwise_)?conv[123]d(?:_transpose)?|dense|embedding|simple_rnn|lstm|gru"
    r"|(?:batch|layer|group)_normalization)(?:_(\d+))?"
)


@dataclasses.dataclass(eq=False)
class Weight:
    """One array of a Keras layer."""

    role: str | None
    """The Linen name ("scale" for gamma, ...); None if the source gives no known name."""
    value: np.ndarray
    handle: Any = None
    """Where to write it: the Keras variable, or the name of the dataset in the file."""
    name: str | None = None
    """The source's own name for it ("gain"); None if it gives only a number."""


@dataclasses.dataclass(eq=False)
class Node:
    """A layer or a model: its own weights, its parts and, if known, which part feeds which."""

    name: str
    weights: list[Weight] = dataclasses.field(default_factory=list)
    children: list["Node"] = dataclasses.field(default_factory=list)
    graph: Mapping[str, list[str]] | None = None
    """The parts that feed every part, by name; None if the source does not say."""
    outputs: list[str] = dataclasses.field(default_factory=list)
    """The parts whose results leave a node with a graph."""
    group: str | None = None
    """The path in a file that stores layers without an order (a .weights.h5 without a configuration)."""
    named: bool = True
    """Whether `name` is the layer's own, not the name of its place in the file."""
    input_shape: tuple[int | None, ...] | None = None
    config: Mapping[str, Any] | None = None
    """Its configuration as Keras serializes it: class_name, config, inbound_nodes; None if unknown."""
    version: str = ""
    """The version of Keras that wrote a file, at its root; "" if unknown."""


@dataclasses.dataclass(eq=False)
class Leaf:
    """A layer that owns weights."""

    path: Path
    weights: list[Weight]
    fed_by: frozenset[int] | None = None
    """Positions (in the flat list) of the layers that directly feed this one; None if unknown."""
    group: str | None = None
    named: bool = True
    config: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return "/".join(self.path)

    @property
    def automatic(self) -> tuple[str, int] | None:
        """(class, number) of an automatic name: ("conv2d", 3) for ``conv2d_3``; None for other names."""
        match = AUTOMATIC_NAME.fullmatch(self.path[-1]) if self.path and self.named else None
        return (match[1], int(match[2] or 0)) if match else None

    @property
    def class_name(self) -> str | None:
        """Keras's class in snake case, if a name contains it."""
        names = [(self.group or "").rsplit("/", 1)[-1], *self.path[-1:]]
        return next((match[1] for name in names if (match := AUTOMATIC_NAME.fullmatch(name))), None)

    @property
    def alphabetical(self) -> bool:
        """Whether the layer's position comes from the name of the attribute that holds it."""
        return self.group is not None and not re.fullmatch("(/layers/[^/]+)*", self.group)

    @property
    def origin(self) -> str:
        """Equal for layers whose order is known: from creation, from a list, or from numbers in paths."""
        return "" if self.automatic else self.listing

    @property
    def listing(self) -> str:
        """Equal for layers that one list in a file holds under one class, in its order."""
        return re.sub(r"_?\d+", "", self.group or "")

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [weight.value.shape for weight in self.weights]


def weight_name(name: str) -> str:
    """Returns a weight's own name: ``kernel`` for ``conv2d/kernel:0``."""
    return name.rsplit("/", 1)[-1].split(":")[0]


def role_of(name: str) -> str | None:
    """Returns the Linen name for a Keras weight like ``conv2d/kernel:0`` or ``gamma``."""
    return ROLES.get(weight_name(name))


def ordered(weights: list[Weight]) -> list[Weight]:
    """Returns the weights of one layer in Keras's order; older files spell out "depthwise_kernel"."""
    roles = [weight.role for weight in weights]
    if "depthwise_kernel" in roles and "pointwise_kernel" not in roles:
        weights[roles.index("depthwise_kernel")].role = "kernel"
    if None in roles:
        return weights
    return sorted(weights, key=lambda weight: ROLE_ORDER.index(str(weight.role)))


def layer_configs(config: Any) -> list[dict[str, Any]] | None:
    """Returns the layers in the configuration of a functional or sequential model; None for any other."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner  # a list before Keras 2.3
    if not isinstance(layers, list):
        return None
    sound = all(isinstance(one, dict) and isinstance(one.get("config", {}), (dict, list)) for one in layers)
    return layers if sound else None


def config_name(config: Mapping[str, Any]) -> str:
    inner = config.get("config", {})
    name = config.get("name") or (inner.get("name", "") if isinstance(inner, dict) else "")
    return str(name)


def add_graph(node: Node, config: Any) -> None:
    """Adds to a node the graph and the input shape from its model's configuration.

    The edges are the inputs of each layer's first call. Layers without inbound nodes form a chain.
    """
    layers = layer_configs(config)
    if layers is None:
        return
    names = [config_name(layer) for layer in layers]
    if any("inbound_nodes" in layer for layer in layers):
        node.graph = {
            name: histories(layer.get("inbound_nodes", [])[:1])
            for name, layer in zip(names, layers, strict=True)
        }
        listed = config["config"].get("output_layers", [])
        listed = dict(sorted(listed.items())) if isinstance(listed, dict) else listed  # JAX sorts dicts
        node.outputs = histories(listed) or names[-1:]
    else:
        node.graph = {name: names[max(i - 1, 0) : i] for i, name in enumerate(names)}
        node.outputs = names[-1:]
    node.input_shape = input_shape(layers)


def histories(value: Any) -> list[str]:
    """Returns the layers in all tensor histories ``[layer, node, tensor]`` anywhere inside `value`."""
    if isinstance(value, dict):
        return [name for inner in value.values() for name in histories(inner)]
    if not isinstance(value, (list, tuple)):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and all(isinstance(i, int) for i in value[1:3]):
        return [value[0], *histories(value[3:])]  # Keras 2 keeps further arguments behind
    return [name for inner in value for name in histories(inner)]


def input_shape(layers: list[dict[str, Any]]) -> tuple[int | None, ...] | None:
    """Returns the shape of one example, as given by the first layers of a configuration."""
    for layer in layers:
        config = layer.get("config", {})
        inner = layer_configs(layer)
        shape = (
            config.get("batch_shape") or config.get("batch_input_shape") if isinstance(config, dict) else None
        )
        if shape or inner:
            return tuple(shape[1:]) if shape else input_shape(inner or [])
    return None


def flatten(root: Node) -> list[Leaf]:
    """Returns all layers that own weights, in the order of the source, each with the layers that feed it."""
    leaves: list[Leaf] = []
    inside: dict[int, frozenset[int]] = {}  # by node: the places of all leaves in it

    def collect(node: Node, path: tuple[str, ...]) -> frozenset[int]:
        mine = frozenset([len(leaves)] if node.weights else [])
        if node.weights:
            leaves.append(Leaf(path, ordered(node.weights), None, node.group, node.named, node.config))
        for child in node.children:
            mine |= collect(child, (*path, child.name))
        inside[id(node)] = mine
        return mine

    def connect(node: Node, arriving: frozenset[int] | None) -> frozenset[int] | None:
        """Records what feeds the leaves in `node`, given what feeds the node, and returns its outputs."""
        if node.weights:
            place = min(inside[id(node)])  # the node's own, since it is collected before its children
            leaves[place].fed_by = arriving
            arriving = frozenset([place])
        if node.graph is None:
            unknown = sum(bool(inside[id(child)]) for child in node.children) > 1
            for child in node.children:
                result = connect(child, None if unknown else arriving)
                if inside[id(child)]:
                    arriving = result
            return None if unknown else arriving
        parts = {child.name: child for child in node.children}
        results: dict[str, frozenset[int] | None] = {}

        def result_of(name: str) -> frozenset[int] | None:
            if name not in results:
                results[name] = frozenset()  # guards against a file whose graph has a cycle
                sources = (node.graph or {}).get(name, [])
                arrives = _union([result_of(source) for source in sources]) if sources else arriving
                part = parts.get(name)
                results[name] = connect(part, arrives) if part and inside[id(part)] else arrives
            return results[name]

        for child in node.children:
            result_of(child.name)
        return _union([result_of(name) for name in node.outputs])

    collect(root, ())
    connect(root, frozenset())
    return leaves


def without(leaves: list[Leaf], names: Collection[str], source: str) -> list[Leaf]:
    """Returns the layers but those with, or in a model with, one of these names; what fed them feeds on.

    Raises:
        UserError: If there is no such layer.
    """
    for name in names:
        if not any(name in leaf.path or name == leaf.name for leaf in leaves):
            known = [leaf.name for leaf in leaves]
            raise UserError(f"{source} has no layer {name!r} with weights to ignore{closest(name, known)}")
    return drop(leaves, [leaf for leaf in leaves if set(leaf.path) & set(names) or leaf.name in names])


def closest(name: str, known: Sequence[str]) -> str:
    """Returns what to say after a name that is unknown: the known one that is most like it, and all."""
    close = difflib.get_close_matches(name, known, n=1)
    return "".join(f" (did you mean {name}?)" for name in close) + f": it has {', '.join(known)}"


def drop(leaves: list[Leaf], dropped: list[Leaf]) -> list[Leaf]:
    """Returns the layers without these; what fed one that is dropped feeds what it fed."""
    out = {id(leaf) for leaf in dropped}
    left_out = {i for i, leaf in enumerate(leaves) if id(leaf) in out}
    place = {i: number for number, i in enumerate(i for i in range(len(leaves)) if i not in left_out)}

    def feeding(leaf: Leaf) -> frozenset[int] | None:
        found, seen, open_places = set[int](), set[int](), [leaf.fed_by]
        while open_places:
            places = open_places.pop()
            if places is None:
                return None
            for i in places - seen:
                seen.add(i)
                if i in left_out:
                    open_places.append(leaves[i].fed_by)
                else:
                    found.add(place[i])
        return frozenset(found)

    return [dataclasses.replace(leaves[i], fed_by=feeding(leaves[i])) for i in place]


def _union(parts: list[frozenset[int] | None]) -> frozenset[int] | None:
    """Returns the union; None (unknown) if one of them is."""
    known = [part for part in parts if part is not None]
    return frozenset[int]().union(*known) if len(known) == len(parts) else None
