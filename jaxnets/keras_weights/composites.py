"""Layers that Keras makes of other layers, and what their configurations say of the parts."""

import re
from collections.abc import Mapping
from typing import Any

from jaxnets.keras_weights.tree import Node, Path, layer_configs

# The roles of the weights of Keras's layers, in its order: some formats store only numbers.
_KERNEL, _CELL = ("kernel", "bias"), ("kernel", "recurrent_kernel", "bias")
_SEPARABLE = ("depthwise_kernel", "pointwise_kernel", "bias")
ORDERS = {
    **dict.fromkeys(("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"), _KERNEL),
    **dict.fromkeys(
        ("DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
        _KERNEL,
    ),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _SEPARABLE),
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU"), _CELL),
    "Embedding": ("embedding",),
}


# The parts of MultiHeadAttention by their names in models and in files, and Linen's names of them.
ATTENTION = {
    **{"query": "query", "key": "key", "value": "value", "attention_output": "out"},
    **{"query_dense": "query", "key_dense": "key", "value_dense": "value", "output_dense": "out"},
}


def arrange(node: Node) -> Node:
    """Completes a tree in place, and returns it.

    The two directions of Bidirectional get their order, their graph and their configurations, the parts of
    MultiHeadAttention their order, their graph and Linen's names; what TimeDistributed wraps gets its own
    configuration; weights that have only numbers get the roles of their layer's class.
    """
    wanted = Mapping if node.weights else (Mapping, list)  # a sequential model once was a list
    if not (isinstance(node.config, Mapping) and isinstance(node.config.get("config"), wanted)):
        node.config = None  # a file may say anything
    config = node.config["config"] if node.config else {}
    inner = config.get("layer") if isinstance(config, Mapping) else None
    both = _directions(node)
    if both:
        node.children = both
        node.graph, node.outputs = {part.name: [] for part in both}, [part.name for part in both]
        for part in both:
            part.group = node.group  # whose place is the parts' place: forward comes first
        if isinstance(inner, Mapping) and isinstance(inner.get("config"), Mapping):
            back = {**inner["config"], "go_backwards": not inner["config"].get("go_backwards", False)}
            both[0].config = inner
            given = config.get("backward_layer")
            both[1].config = given if isinstance(given, Mapping) else {**inner, "config": back}
    elif isinstance(inner, Mapping) and (node.config or {}).get("class_name") == "TimeDistributed":
        if node.weights:
            node.config = inner
        elif len(node.children) == 1:
            node.children[0].config = inner
    else:
        _arrange_attention(node)
    _name_weights(node)
    for child in node.children:
        arrange(child)
    return node


def _arrange_attention(node: Node) -> None:
    parts = {
        ATTENTION[child.name.lstrip("_")]: child
        for child in node.children
        if child.name.lstrip("_") in ATTENTION
    }
    weighted = [child for child in node.children if child.weights]
    if len(parts) < 4 or len(weighted) != 4 or layer_configs(node.config) is not None:
        return
    node.children = [parts[name] for name in ("query", "key", "value", "out")]
    for name, part in parts.items():
        part.name, part.group = name, node.group
    node.graph = {"query": [], "key": [], "value": [], "out": ["query", "key", "value"]}
    node.outputs = ["out"]


def direction(path: Path) -> str | None:
    """Returns "forward" or "backward" for Keras's names of the parts of Bidirectional."""
    match = re.fullmatch(r"_?(forward|backward)_.*", path[-1]) if path else None
    return match[1] if match else None


def _directions(node: Node) -> list[Node]:
    """Returns the forward and the backward part of a node that consists of these two."""
    found: dict[str, Node] = {}
    if node.config is not None and node.config.get("class_name") != "Bidirectional":
        return []
    for child in node.children:
        if way := direction((child.name,)):
            found[way] = child
    if not found or len(node.children) != 2 or (len(found) < 2 and node.config is None):
        return []
    one, other = node.children  # a layer that was given for one direction has a name of its own
    return [one, other] if found.get("forward") is one or found.get("backward") is other else [other, one]


def _name_weights(node: Node) -> None:
    """Gives weights that have only numbers the roles that the configuration says they have."""
    config: Any = node.config or {}
    kind, settings = config.get("class_name"), config.get("config", {})
    if not node.weights or any(weight.role or weight.name for weight in node.weights):
        return
    roles = ORDERS.get(str(kind), ())
    if kind in ("LayerNormalization", "GroupNormalization"):
        roles = ("scale",) * bool(settings.get("scale", True)) + ("bias",) * bool(
            settings.get("center", True)
        )
    if len(roles) >= len(node.weights):
        for weight, role in zip(node.weights, roles, strict=False):
            weight.role = role
