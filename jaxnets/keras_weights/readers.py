"""Reading a live Keras model or any Keras weight file as a `Node`, files with h5py, zipfile and json only.

What each format contains about the order of layers:

* legacy ``.h5`` (Keras 1 to 3; `layer_names`): names of layers and weights, layers in the order of
  `model.layers`; a whole model also has its configuration, and with it the graph.
* ``.keras``: a zip with the configuration (order and graph of functional and sequential models) beside a
  ``.weights.h5``.
* ``.weights.h5`` of Keras 3: no order. Layers of functional and sequential models are stored under their
  class and a number that counts in the order of `model.layers`, other layers under the attribute that holds
  them. Keras 3.6 and later add every layer's own name.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxnets.errors import UserError
from jaxnets.keras_weights.containers import open_file
from jaxnets.keras_weights.conversions import without_cudnn, without_theano
from jaxnets.keras_weights.hdf5 import Array, Group, Place, reading
from jaxnets.keras_weights.tree import (
    Node,
    Weight,
    add_graph,
    config_name,
    layer_configs,
    role_of,
    weight_name,
)

# State of a compiled model or of random layers, which no network needs for its predictions.
NOT_LAYERS = {
    "vars", "optimizer", "seed_generator", "_loss_tracker", "metrics", "_metrics", "_compile_metrics",
}  # fmt: skip
# Groups that list layers: under their class and a number that counts in the list's order.
LISTS = {"layers", "_layer_checkpoint_dependencies", "cells"}
# The layers inside Keras's own composite layers, in the order in which they are used.
PARTS = [
    "forward_layer", "backward_layer",
    "query_dense", "key_dense", "value_dense", "gate_dense", "output_dense",
]  # fmt: skip
FLOATS = [np.dtype(kind) for kind in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)]


def read_model(model: Any) -> Node:
    """Reads a live Keras model; handles are its variables."""
    if not model.weights:
        raise UserError(
            f"the Keras model {model.name!r} has no weights yet: build it or call it on data first"
        )
    try:
        config = {"config": model.get_config()}
    except (NotImplementedError, TypeError):  # a subclassed model without a configuration
        config = {}
    root = _live(model, config)
    root.version = "2." if type(model).__module__.startswith("tf_keras") else "3."
    return root


def _live(layer: Any, config: Any) -> Node:
    # `layers` of a model is public; a layer that holds layers (an RNN its cell) has only this method.
    children = layer.layers if hasattr(layer, "layers") else list(layer._flatten_layers(False, False))
    inner = {id(weight) for child in children for weight in child.weights}
    own = [weight for weight in layer.weights if id(weight) not in inner]
    weights = [Weight(role_of(v.name), _live_value(v, layer), v, weight_name(v.name)) for v in own]
    configs = layer_configs(config)
    by_name = {config_name(c): c for c in configs or []}
    nodes = [_live(child, by_name.get(child.name, {})) for child in children]
    if not weights and len(nodes) == 1 and type(children[0]).__name__.endswith("Cell"):
        weights, nodes = nodes[0].weights, []
    node = Node(layer.name, weights, nodes, config=config or config_of(layer))
    add_graph(node, config)
    return node


def _live_value(variable: Any, layer: Any) -> np.ndarray:
    if callable(variable.value):  # a variable of TensorFlow, as in Keras 2
        value = variable.numpy()
    else:
        import keras  # a live model is there, so Keras is

        value = keras.ops.convert_to_numpy(variable.value)
    check_type(value.dtype, f"{variable.name} of {layer.name}")
    return value


def config_of(layer: Any) -> dict[str, Any] | None:
    """Returns the configuration of a live layer, as Keras serializes it; None if it has none."""
    ours = type(layer).__module__.startswith(("keras.", "tf_keras."))
    try:
        config = layer.get_config()
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return None
    return {"module": "keras.layers" if ours else None, "class_name": type(layer).__name__, "config": config}


def read_file(path: str | Path) -> Node:
    """Reads any Keras weight file; handles are the places in it, and values are read when they are needed.

    Raises:
        UserError: If there is no such file, it is damaged, or it is not a Keras weight file.
    """
    root, config = open_file(Path(path))
    with reading(repr(str(path))):
        return read_root(root, repr(str(path)), config)


def read_root(root: Group, source: str, config: Any = None) -> Node:
    """Reads the contents of an HDF5 file in any of Keras's layouts."""
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return _legacy(root, config)
    legacy = "model_weights" in root
    node = _legacy(root["model_weights"], config) if legacy else _group(root, "", config, "")
    if not _has_weights(node):
        raise UserError(f"{source} holds no Keras weights: give a file of Keras's save or save_weights")
    version = root.attrs.get("keras_version", "")
    node.version = version.decode() if isinstance(version, bytes) else str(version)
    return node


def _has_weights(node: Node) -> bool:
    return bool(node.weights) or any(map(_has_weights, node.children))


def _stored(role: str | None, array: Any) -> Weight:
    """Returns an array in a file as a weight; refuses what no layer computes with."""
    if not isinstance(array, Array):
        raise UserError(f"{array.name} should be a layer's weight, and is a group")
    check_type(array.dtype, array.where)
    values: Any = array  # NumPy reads it like one of its own
    return Weight(role, values, Place(array.name))


def check_type(dtype: Any, where: str) -> None:
    """Raises UserError for a weight that is not of floats, such as the integers of a quantized layer."""
    if np.dtype(dtype).newbyteorder("=") not in FLOATS:
        raise UserError(
            f"{where} holds {dtype}, and weights are float16, bfloat16, float32 or float64: the layer is "
            "quantized or no network's; give the model as it was before it was quantized"
        )


# Keras 3: .weights.h5, alone or inside of .keras


def _group(group: Group, name: str, config: Any, place: str) -> Node:
    """Reads the group of a layer; `place` is its path, in which every list of layers is called "layers"."""
    stored, cell = group.get("vars", {}), group.get("cell", {})
    own = cell["vars"] if cell.keys() == {"vars"} else stored
    keys = sorted((key for key in own if key.isdecimal()), key=int)
    weights = [_stored(None, own[key]) for key in keys]
    node = Node(name, _name_batch_norm(weights, group.name, config), config=config)
    configs = layer_configs(config)
    if configs is not None:
        add_graph(node, config)
        container = group.get("layers", group.get("_layer_checkpoint_dependencies", {}))
        numbers: dict[str, int] = {}
        for layer in configs:
            kind = snake_case(layer["class_name"])
            numbers[kind] = numbers.get(kind, -1) + 1
            key = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
            if key in container:
                inner = _group(container[key], config_name(layer), layer, f"{place}/layers/{key}")
                node.children.append(inner)
        return node
    node.named = bool(config) or "name" in getattr(stored, "attrs", {})
    node.group = None if config else place or "/"
    if own is stored:
        node.children = _parts(group, place)
    return node


def _parts(group: Group, place: str, listed: bool = False) -> list[Node]:
    """Reads the layers in a group, of which no configuration is known; `listed` if they are in order."""
    parts = {key: child for key, child in group.items() if key not in NOT_LAYERS and _has_layers(child)}
    # One part alone and the parts of Keras's own layers are in a known order; attributes in general are not.
    own = {key: PARTS.index(key.lstrip("_")) for key in parts if key.lstrip("_") in PARTS}
    known = listed or len(parts) == 1 or len(own) == len(parts)
    nodes = []
    for key in sorted(parts, key=lambda key: (own.get(key, 0), natural(key))):
        child = parts[key]
        if key in LISTS:
            nodes += _parts(child, place, listed=True)
        else:
            name = child.get("vars", child).attrs.get("name", key)
            name = name.decode() if isinstance(name, bytes) else str(name)
            name = name if name.isprintable() else key
            number = f"part_{own[key]}" if key in own else key  # like the numbers in a list
            nodes.append(_group(child, name, None, f"{place}{'/layers' * known}/{number}"))
    return nodes


def _has_layers(child: Any) -> bool:
    """Whether there are arrays in a group, other than the integers of a random generator."""
    if not isinstance(child, Group):
        return False
    arrays = [item for item in child.get("vars", {}).values() if isinstance(item, Array)]
    if len(arrays) == 1 and arrays[0].dtype.kind in "iu" and len(arrays[0].shape) == 1:
        return False
    return bool(arrays) or any(_has_layers(item) for key, item in child.items() if key != "vars")


def _name_batch_norm(weights: list[Weight], group: str, config: Any) -> list[Weight]:
    """Names a BatchNorm's weights, by its configuration or, without one, if it has four arrays or two."""
    inner = config.get("config", {}) if isinstance(config, dict) else {}
    if isinstance(inner, dict) and (config or {}).get("class_name") == "BatchNormalization":
        roles = ["scale"] * bool(inner.get("scale", True)) + ["bias"] * bool(inner.get("center", True))
        roles += ["mean", "var"]
    elif re.fullmatch(r"batch_normalization(_\d+)?", group.rsplit("/", 1)[-1]) and len(weights) in (2, 4):
        roles = ["scale", "bias", "mean", "var"][-len(weights) :]
    else:
        return weights
    for weight, role in zip(weights, roles, strict=False):
        weight.role = role
    return weights


def snake_case(name: str) -> str:
    """Returns `BatchNormalization` as `batch_normalization`, by Keras's rule."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def natural(name: str) -> list[tuple[str, int]]:
    """Returns a sorting key that puts conv2 before conv10, and conv2d before conv2d_1."""
    return [(text, int(number or -1)) for text, number in re.findall(r"(\D*?)_?(\d+|$)", name)]


# The legacy layout


def _legacy(group: Group, config: Any) -> Node:
    configs = layer_configs(config)
    by_name = {config_name(layer): layer for layer in configs or []}
    root = Node("", config=config)
    add_graph(root, config)
    for name in [*_names(group, "layer_names"), "top_level_model_weights"]:
        try:
            stored = group.find(name)
        except KeyError:
            continue
        parts = _by_layer(stored)
        if group.attrs.get("backend") in ("theano", b"theano"):
            parts = {prefix: without_theano(weights) for prefix, weights in parts.items()}
        inner = {config_name(layer) for layer in layer_configs(by_name.get(name)) or []}
        if len(parts) == 1 and not inner.intersection(*parts):
            root.children.append(Node(name, next(iter(parts.values())), config=by_name.get(name)))
        else:
            root.children.append(_nested(name, parts, by_name.get(name)))
    return root


def _by_layer(stored: Group) -> dict[tuple[str, ...], list[Weight]]:
    """Returns the weights in a layer's group by what stands before their names: that of an inner layer."""
    parts: dict[tuple[str, ...], list[Weight]] = {}
    for path in _names(stored, "weight_names"):
        *prefix, _ = path.split("/")
        weight = _stored(role_of(path), stored.find(path))
        weight.name = weight_name(path)
        parts.setdefault(tuple(prefix), []).append(weight)

    def without_cell(prefix: tuple[str, ...]) -> tuple[str, ...]:
        return prefix[:-1] if prefix and re.search(r"_cell(_\d+)?$", prefix[-1]) else prefix

    cells = Counter(map(without_cell, parts))  # one cell is the layer itself, several are its layers
    return {
        without_cell(prefix) if cells[without_cell(prefix)] == 1 else prefix: without_cudnn(weights)
        for prefix, weights in parts.items()
    }


def _names(group: Any, attribute: str) -> list[str]:
    """Returns a list of names; Keras splits long lists into attributes with a number after their name."""
    keys = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(keys)}" in group.attrs:
        keys.append(f"{attribute}{len(keys)}")
    return [n.decode() if isinstance(n, bytes) else str(n) for key in keys for n in group.attrs[key]]


def _nested(name: str, parts: dict[tuple[str, ...], list[Weight]], config: Any) -> Node:
    """Returns a layer made of layers: the weights' names tell them apart, the configuration orders them."""
    configs = layer_configs(config)
    node = Node(name, config=config)
    add_graph(node, config)
    for layer in configs or []:
        inner = config_name(layer)
        if layer_configs(layer) is not None:
            names = {config_name(part) for part in layer_configs(layer) or []}
            mine = {prefix: parts.pop(prefix) for prefix in list(parts) if names & set(prefix)}
            node.children.append(_nested(inner, mine, layer))
        else:
            mine = {prefix: parts.pop(prefix) for prefix in list(parts) if inner in prefix}
            only = next(iter(mine.values())) if len(mine) == 1 else None
            node.children.append(Node(inner, only, config=layer) if only else _nested(inner, mine, layer))
    node.children.extend(Node(prefix[-1] if prefix else name, weights) for prefix, weights in parts.items())
    return node
