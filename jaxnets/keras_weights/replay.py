"""What a Keras model's configuration says about what is computed between its layers with weights."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.keras_weights.tree import Leaf, Node, Path, config_name, layer_configs
from jaxnets.keras_weights.weightless import IDENTITIES, LARGEST, ODD, activation_of, compute, is_keras

Config = Mapping[str, Any]

# Layers with weights that compute a linear map or a normalization, then perhaps an activation.
ACTIVATED = {
    *("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"),
    *("SeparableConv1D", "SeparableConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
}
PLAIN = ["BatchNormalization", "LayerNormalization", "GroupNormalization", "Embedding"]
RECURRENT = ["SimpleRNN", "LSTM", "GRU", "CuDNNLSTM", "CuDNNGRU"]
MERGING = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"}
PASS_MASKS = {
    *(*MERGING, *IDENTITIES, *PLAIN, "Dense", "TimeDistributed", "MultiHeadAttention", "UnitNormalization"),
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Rescaling", "Normalization"),
} - {"Embedding"}
PROBABILITIES = ("softmax", "sigmoid", "log_softmax")


@dataclasses.dataclass(frozen=True)
class Value:
    """An array in the replay; None if it is not known."""

    array: jax.Array | None = None
    via: tuple[Path, ...] = ()
    """The layers that made it of the outputs of layers with weights, and the latter."""
    sources: frozenset[Path] = frozenset()
    """Paths of the layers with weights whose outputs are in it."""


def is_channels_first(layer: Config, rank: int) -> bool:
    """Whether a layer's maps are (batch, channels, ...): a convolution's format, a normalization's axis."""
    config = layer.get("config", {})
    axis = config.get("axis")
    first = config.get("data_format") == "channels_first" or axis == 1 or axis == [1]
    return first and rank > 2


class Replay:
    """Computes what the layers of a functional or sequential model are given.

    Args:
        root: The model.
        leaves: Its layers with weights.
        inputs: The model's inputs, in its order; None for one that is not known.
        outputs: The outputs of layers with weights, by path, before their activations.
        changes: Other configurations for some layers, by path, to see what difference it makes.
        trusting: Whether a user's own layers with weights are taken to give the very output of the module's.
    """

    def __init__(
        self,
        root: Node,
        leaves: Iterable[Leaf],
        inputs: Sequence[jax.Array | None],
        outputs: Mapping[Path, jax.Array],
        changes: Mapping[Path, Config] | None = None,
        trusting: bool = False,
    ) -> None:
        self.root, self.given, self.arrays = root, outputs, list(inputs)
        self.leaves = {leaf.path: leaf for leaf in leaves}
        self.changes, self.version, self.trusting = changes or {}, root.version, trusting
        self._models: dict[Path, _Model] = {}
        self._values: dict[Path, Value] = {}
        self._size = 0

    def input(self, leaf: Leaf) -> Value:
        """Returns what a layer with weights is given."""
        try:
            path = self._place(leaf)
            values = self._inputs(path[:-1], path[-1]) if path else None
        except ODD:
            values = None
        if not values or len(values) != 1:
            return Value()
        config = self.config(leaf).get("config", {})
        array = values[0].array
        if array is not None and config.get("go_backwards"):
            array = jnp.flip(array, 1)
        return dataclasses.replace(values[0], array=array)

    def config(self, leaf: Leaf) -> Config:
        """Returns the configuration of a layer with weights, with the changes."""
        return self.changes.get(leaf.path, leaf.config or {})

    def outputs(self) -> list[tuple[Value, Value | None]]:
        """Returns the model's outputs, each also without the softmax or sigmoid at its end, if it has one."""
        try:
            return [(self._value((), name), self._logits(name)) for name in self.root.outputs]
        except ODD:
            return []

    def layer(self, path: Path) -> Config:
        """Returns a layer's configuration, with the changes."""
        leaf = self.leaves.get(path)
        if leaf is not None:
            return self.config(leaf)
        return self.changes.get(path) or self._model(path[:-1]).layers[path[-1]]

    def masked(self, leaf: Leaf) -> bool:
        """Whether a mask, of Embedding(mask_zero=True) or Masking, arrives at a layer with weights."""
        try:
            path = self._place(leaf)
            return bool(path) and self._mask_before(path[:-1], path[-1])
        except ODD:
            return False

    def _mask_before(self, model: Path, name: str) -> bool:
        view = self._model(model)
        if (given := view.is_given_mask(name)) is not None:
            return given
        masks = [self._mask_after(model, source) for source, _ in view.calls(name) or []]
        merging = view.layers[name].get("class_name") in MERGING
        return bool(masks) and (all(masks) if merging else any(masks))

    def _mask_after(self, model: Path, name: str) -> bool:
        layer = self._model(model).layers[name]
        kind, config = layer.get("class_name"), layer.get("config", {})
        if kind == "Bidirectional":
            kind, config = "LSTM", config["layer"]["config"]
        if kind == "Masking" or (kind == "Embedding" and config.get("mask_zero")):
            return True
        keeps = kind in PASS_MASKS or (kind in RECURRENT and config.get("return_sequences"))
        return bool(keeps) and self._mask_before(model, name)

    def _place(self, leaf: Leaf) -> Path:
        """Returns the path of the layer in a model that is, or wraps, a layer with weights; () if unknown."""
        path, parent = leaf.path, leaf.path[:-1]
        if path[-1] in self._model(parent).layers:
            return path
        wrapper = self._model(parent[:-1]).layers.get(parent[-1], {}) if parent else {}
        return parent if wrapper.get("class_name") in ("Bidirectional", "TimeDistributed") else ()

    def _logits(self, name: str) -> Value | None:
        config = self.layer((name,)).get("config", {})
        softmax = self.layer((name,)).get("class_name") == "Softmax"
        if not softmax and config.get("activation") not in PROBABILITIES:
            return None
        if (name,) in self.leaves:
            return self._leaf(self.leaves[(name,)], {"activation": "linear"})
        inputs = self._inputs((), name)
        return inputs[0] if inputs else None

    def _model(self, path: Path) -> "_Model":
        if path not in self._models:
            node = self.root
            for name in path:
                node = next((child for child in node.children if child.name == name), Node(name))
            self._models[path] = _Model(node)
        return self._models[path]

    def _value(self, model: Path, name: str) -> Value:
        path = (*model, name)
        if path not in self._values:
            self._values[path] = Value()  # guards against a file whose graph has a cycle
            self._values[path] = self._compute(model, name)
        return self._values[path]

    def _compute(self, model: Path, name: str) -> Value:
        path, view = (*model, name), self._model(model)
        layer = self.changes.get(path) or view.layers.get(name, {})
        kind = layer.get("class_name")
        if kind == "InputLayer":
            return self._arriving(model, name)
        if path in self.leaves:
            return self._leaf(self.leaves[path])
        inner = self._model(path)
        below = frozenset(leaf for leaf in self.leaves if leaf[: len(path)] == path)
        if inner.layers:
            outputs = inner.node.outputs
            return self._value(path, outputs[0]) if len(outputs) == 1 else Value(sources=below)
        parts = [self._leaf(self.leaves[leaf]) for leaf in sorted(below)]
        if kind == "TimeDistributed" and len(parts) == 1:
            inside = self.config(self.leaves[next(iter(below))])
            return parts[0] if inside.get("class_name") == "Dense" else Value(sources=below)
        if kind == "Bidirectional" and len(parts) == 2:
            return self._both(
                layer, [self._leaf(self.leaves[(*path, part.name)]) for part in inner.node.children]
            )
        inputs = self._inputs(model, name)
        if below or inputs is None:
            return Value(sources=below)
        sources = frozenset[Path]().union(*(value.sources for value in inputs))
        via = tuple(dict.fromkeys([step for value in inputs for step in value.via] + [path]))
        arrays = [value.array for value in inputs if value.array is not None]
        if len(arrays) < len(inputs) or (kind == "Rescaling" and any(arrays[0] is x for x in self.arrays)):
            return Value(None, via, sources)  # how the very inputs are scaled is often done outside
        masked = kind in ("GlobalAveragePooling1D", "Softmax") and self._mask_before(model, name)
        array = None if masked else compute(layer, arrays, self.version)
        self._size += 0 if array is None else array.size
        return Value(array if self._size <= LARGEST else None, via, sources)

    def _leaf(self, leaf: Leaf, settings: Config | None = None) -> Value:
        layer, array = self.config(leaf), self.given.get(leaf.path)
        config, kind = {**layer.get("config", {}), **(settings or {})}, layer.get("class_name")
        result = None
        if array is None or not is_keras(layer):
            result = array if self.trusting else None
        elif kind in PLAIN or kind in ACTIVATED:
            activation = activation_of(config.get("activation"), self.version)
            if is_channels_first(layer, array.ndim):
                array = jnp.moveaxis(array, -1, 1)  # the module's are channels-last
            result = None if activation is None else activation(array)
        elif kind in RECURRENT and not config.get("return_state"):
            if array.ndim == (3 if config.get("return_sequences") else 2):
                result = array
            elif array.ndim == 3:
                result = array[:, -1]
        return Value(result, (leaf.path,), frozenset([leaf.path]))

    def _both(self, layer: Config, parts: Sequence[Value]) -> Value:
        """Returns the outputs of the two directions, merged."""
        forward, backward = (part.array for part in parts)
        via = tuple(step for part in parts for step in part.via)
        sources = parts[0].sources | parts[1].sources
        merge = MERGES.get(str(layer.get("config", {}).get("merge_mode", "concat")))
        if forward is None or backward is None or merge is None:
            return Value(None, via, sources)
        backward = jnp.flip(backward, 1) if backward.ndim == 3 else backward
        return Value(merge(forward, backward), via, sources)

    def _inputs(self, model: Path, name: str) -> list[Value] | None:
        """Returns what the only call of a layer is given; None if there are more, or more than arrays."""
        view = self._model(model)
        calls = view.calls(name)
        if calls == []:
            return [self._arriving(model, None)]
        if calls is None:
            return None
        return [self._value(model, source) if known else Value() for source, known in calls]

    def _arriving(self, model: Path, name: str | None) -> Value:
        """Returns what arrives at an input of a model, or at its only one."""
        inputs = self._model(model).inputs
        place = inputs.index(name) if name in inputs else 0
        if not model:
            return Value(self.arrays[place] if max(len(inputs), 1) == len(self.arrays) else None)
        values = self._inputs(model[:-1], model[-1])
        return values[place] if values and place < len(values) else Value()


MERGES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "concat": lambda a, b: jnp.concatenate([a, b], -1),
    "sum": jnp.add,
    "mul": jnp.multiply,
    "ave": lambda a, b: (a + b) / 2,
}


class _Model:
    """The configuration of a model: its layers by name, and who feeds whom."""

    def __init__(self, node: Node) -> None:
        self.node = node
        configs = (layer_configs(node.config) or []) if node.graph is not None else []
        self.layers = {config_name(layer): layer for layer in configs}
        inner = node.config.get("config", {}) if node.config else {}
        listed = inner.get("input_layers") if isinstance(inner, Mapping) else None
        found = [name for name, _ in _calls_in(listed)]
        self.inputs = found or [
            n for n, layer in self.layers.items() if layer.get("class_name") == "InputLayer"
        ]
        self._chain = not any("inbound_nodes" in layer for layer in configs)

    def is_given_mask(self, name: str) -> bool | None:
        """Whether a layer is called with a mask; None if the graph does not say, as before Keras 3."""
        nodes = self.layers[name].get("inbound_nodes") or []
        calls = [node.get("kwargs") or {} for node in nodes if isinstance(node, Mapping)]
        return any(kwargs.get("mask") is not None for kwargs in calls) if calls else None

    def calls(self, name: str) -> list[tuple[str, bool]] | None:
        """Returns the layers that feed one, and whether by their only call; None if that is not all of it."""
        if self._chain:
            place = list(self.layers).index(name)
            return [(other, True) for other in list(self.layers)[max(place - 1, 0) : place]]
        nodes = self.layers[name].get("inbound_nodes") or []
        if len(nodes) != 1:
            return None
        node = nodes[0]
        if isinstance(node, Mapping):  # Keras 3: args and kwargs
            kwargs = node.get("kwargs") or {}
            if any(value not in (None, False) for value in kwargs.values()):
                return None
            args, node = node.get("args") or [], node.get("args")
            many = len(args) > 1 and str(self.layers[name].get("module", "")).startswith("keras.layers")
            if many and any(value is not None for value in args[1:]):
                return None
        elif any(isinstance(entry, list) and len(entry) > 3 and entry[3] for entry in node):
            return None
        return _calls_in(node) or None


def _calls_in(value: Any) -> list[tuple[str, bool]]:
    """Returns the layers in all tensor histories ``[layer, node, tensor]`` inside `value`."""
    if isinstance(value, Mapping):
        return [call for inner in value.values() for call in _calls_in(inner)]
    if not isinstance(value, (list, tuple)):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and all(isinstance(i, int) for i in value[1:3]):
        return [(value[0], value[1] == value[2] == 0)]
    return [call for inner in value for call in _calls_in(inner)]
