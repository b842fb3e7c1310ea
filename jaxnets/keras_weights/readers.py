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

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxnets import hints
from jaxnets.errors import UserError
from jaxnets.keras_weights.tree import (
    Node,
    Weight,
    add_graph,
    config_name,
    layer_configs,
    role_of,
)

# State of a compiled model or of random layers, which no network needs for its predictions.
NOT_LAYERS = {"vars", "optimizer", "seed_generator", "_loss_tracker", "_metrics", "_compile_metrics"}


def hdf5() -> Any:
    """Returns the h5py module, needed only to read or write files."""
    try:
        import h5py
    except ImportError as error:
        needed = hints.install("h5py")
        raise UserError(f"Keras weight files are read and written with h5py: {needed}") from error
    return h5py


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
    return _live(model, config)


def _live(layer: Any, config: Any) -> Node:
    import keras  # a live model is there, so Keras is

    # `layers` of a model is public; a layer that holds layers (an RNN its cell) has only this method.
    children = layer.layers if hasattr(layer, "layers") else layer._flatten_layers(False, False)
    inner = {id(weight) for child in children for weight in child.weights}
    own = [weight for weight in layer.weights if id(weight) not in inner]
    weights = [Weight(role_of(v.name), keras.ops.convert_to_numpy(v.value), v) for v in own]
    configs = layer_configs(config)
    by_name = {config_name(c): c for c in configs or []}
    nodes = [_live(child, by_name.get(child.name, {})) for child in children]
    if not weights and len(nodes) == 1 and type(children[0]).__name__.endswith("Cell"):
        weights, nodes = nodes[0].weights, []
    node = Node(layer.name, weights, nodes)
    add_graph(node, config)
    return node


def read_file(path: str | Path) -> Node:
    """Reads any Keras weight file; handles are the names of its datasets.

    Raises:
        UserError: If there is no such file, it is damaged, or it is not a Keras weight file.
    """
    h5py = hdf5()
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r} to read Keras weights from")
    try:
        if zipfile.is_zipfile(path):
            return _read_archive(path)
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return read_h5(file, str(path))
    except UserError:
        raise
    except (OSError, LookupError, EOFError, RuntimeError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{str(path)!r} is damaged or incomplete ({error}): copy or download it again"
        ) from error
    raise UserError(f"{str(path)!r} is not a Keras file: give a .keras, a .weights.h5 or a legacy .h5")


def archive_h5(path: Path) -> tuple[io.BytesIO, Any]:
    """Returns the weights inside a ``.keras`` file, and the model's configuration."""
    with zipfile.ZipFile(path) as archive:
        members = set(archive.namelist())
        if not {"config.json", "model.weights.h5"} <= members:
            raise UserError(
                f"{str(path)!r} is a zip without config.json and model.weights.h5: give a .keras file"
            )
        return io.BytesIO(archive.read("model.weights.h5")), json.loads(archive.read("config.json"))


def _read_archive(path: Path) -> Node:
    weights, config = archive_h5(path)
    with hdf5().File(weights, "r") as file:
        return read_h5(file, str(path), config)


def read_h5(file: Any, source: str, config: Any = None) -> Node:
    """Reads an open HDF5 file in any of Keras's layouts."""
    if "layer_names" in file.attrs or "layer_names0" in file.attrs:
        return _legacy(file, None)
    if "model_weights" in file:
        text = file.attrs.get("model_config", "null")
        return _legacy(file["model_weights"], json.loads(text))
    root = _group(file, "", config)
    if not _has_weights(root):
        raise UserError(
            f"{source!r} holds no Keras weights: give a file that Keras's save or save_weights wrote"
        )
    return root


def _has_weights(node: Node) -> bool:
    return bool(node.weights) or any(map(_has_weights, node.children))


def _array(dataset: Any) -> np.ndarray:
    array = np.asarray(dataset)
    # HDF5 has no bfloat16: Keras stores its two bytes as they are.
    return array.view(ml_dtypes.bfloat16) if array.dtype == np.dtype("V2") else array


# Keras 3: .weights.h5, alone or inside of .keras


def _group(group: Any, name: str, config: Any) -> Node:
    stored = group.get("vars", {})
    keys = sorted((key for key in stored if key.isdigit()), key=int)
    weights = [Weight(None, _array(stored[key]), stored[key].name) for key in keys]
    node = Node(name, _name_batch_norm(weights, group.name, config))
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
                node.children.append(_group(container[key], config_name(layer), layer))
        return node
    node.named = bool(config) or "name" in getattr(stored, "attrs", {})
    node.group = None if config else group.name
    for key, child in sorted(group.items(), key=lambda item: natural(item[0])):
        if key in NOT_LAYERS or not hasattr(child, "keys"):
            continue
        if key == "cell" and "vars" in child and len(child) == 1:
            node.weights.extend(_group(child, name, None).weights)
            continue
        given = child.get("vars", child).attrs.get("name", key)
        part = _group(child, given.decode() if isinstance(given, bytes) else str(given), None)
        if key == "layers":  # a list of layers, no layer itself
            node.children.extend(part.children)
        else:
            node.children.append(part)
    return node


def _name_batch_norm(weights: list[Weight], group: str, config: Any) -> list[Weight]:
    """Names a BatchNorm's weights, by its configuration or, without one, if it has four arrays or two."""
    inner = config.get("config", {}) if isinstance(config, dict) else {}
    if (config or {}).get("class_name") == "BatchNormalization":
        roles = ["scale"] * inner.get("scale", True) + ["bias"] * inner.get("center", True) + ["mean", "var"]
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


def _legacy(group: Any, config: Any) -> Node:
    configs = layer_configs(config)
    by_name = {config_name(layer): layer for layer in configs or []}
    root = Node("")
    add_graph(root, config)
    for name in [*_names(group, "layer_names"), "top_level_model_weights"]:
        if name not in group:
            continue
        parts: dict[tuple[str, ...], list[Weight]] = {}
        for weight in _names(group[name], "weight_names"):
            *prefix, _ = weight.split("/")
            if prefix and re.search(r"_cell(_\d+)?$", prefix[-1]):
                prefix = prefix[:-1]
            dataset = group[name][weight]
            parts.setdefault(tuple(prefix), []).append(Weight(role_of(weight), _array(dataset), dataset.name))
        if len(parts) == 1:
            root.children.append(Node(name, next(iter(parts.values()))))
        else:
            root.children.append(_nested(name, parts, by_name.get(name)))
    return root


def _names(group: Any, attribute: str) -> list[str]:
    """Returns a list of names; Keras splits long lists into attributes with a number after their name."""
    keys = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(keys)}" in group.attrs:
        keys.append(f"{attribute}{len(keys)}")
    return [n.decode() if isinstance(n, bytes) else str(n) for key in keys for n in group.attrs[key]]


def _nested(name: str, parts: dict[tuple[str, ...], list[Weight]], config: Any) -> Node:
    """Returns a layer made of layers: the weights' names tell them apart, the configuration orders them."""
    configs = layer_configs(config)
    node = Node(name)
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
            node.children.append(Node(inner, only) if only else _nested(inner, mine, None))
    node.children.extend(Node(prefix[-1] if prefix else name, weights) for prefix, weights in parts.items())
    return node
