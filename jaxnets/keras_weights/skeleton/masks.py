"""Which masks Keras passes on in a model, written into its graph.

A functional model of Keras 3 contains its masks: operations make them, and layers are called with ``mask=``.
In other models they follow from the layers, and here they become such operations and arguments.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jaxnets.keras_weights.replay import MERGING, PASS_MASKS, RECURRENT
from jaxnets.keras_weights.skeleton.graph import Call, Config, Model, Tensor
from jaxnets.keras_weights.tree import layer_configs

UNKNOWN = "unknown"  # a mask that enters or leaves a model inside this one, or that no code is written for
TAKE_MASKS = {*RECURRENT, "BatchNormalization", "GlobalAveragePooling1D", "Softmax", "MultiHeadAttention"}


def takes_mask(layer: Any) -> bool:
    """Whether a mask changes what a layer, or one inside it, computes."""
    return _any(layer, lambda kind, config: kind in TAKE_MASKS)


def _masks_zeros(kind: str, config: Config) -> bool:
    return kind == "Embedding" and bool(config.get("mask_zero"))


def _config(layer: Any) -> Config:
    config = layer.get("config") if isinstance(layer, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def _any(layer: Any, is_one: Callable[[str, Config], bool]) -> bool:
    """Whether a layer is such a one, or has one inside."""
    inner, config = layer_configs(layer), _config(layer)
    if inner is not None:
        return any(_any(one, is_one) for one in inner)
    return bool(config) and (
        is_one(str(layer.get("class_name")), config) or _any(config.get("layer"), is_one)
    )


def add_masks(model: Model) -> None:
    """Gives each call the mask that Keras gives it, and adds the operations that make these."""
    masks: dict[Tensor, Any] = {}
    calls: list[Call] = []
    for call in model.calls:
        layer = model.layers[call.layer]
        before = [masks.get(tensor) for tensor in call.tensors]
        calls.append(call)
        mask = _after(model, calls, before)
        masks |= {Tensor(call.layer, call.node, index): mask for index in (0, 1)}
        several = layer.get("class_name") == "MultiHeadAttention" and any(before)
        inferred = UNKNOWN if several else next(iter(before), None)
        call.mask = (call.mask or inferred) if takes_mask(layer) else None
    model.calls = _needed(calls, model.outputs)


def _after(model: Model, calls: list[Call], before: list[Any]) -> Any:
    """Returns the mask of what the last of the calls returns; adds the operations that make it."""
    call = calls[-1]
    layer = model.layers[call.layer]
    kind, config = str(layer.get("class_name")), _config(layer)
    if layer_configs(layer) is not None:
        makes = _any(layer, lambda kind, config: kind == "Masking" or _masks_zeros(kind, config))
        return UNKNOWN if makes or call.mask is not None or any(before) else None
    if kind == "Masking":
        return None if model.has_masks else Tensor(call.layer, call.node, 1)
    if _masks_zeros(kind, config):
        return None if model.has_masks else _add(model, calls, "NotEqual", call.inputs[0], 0)
    if kind in MERGING:
        return _merged(model, calls, before)
    recurrent = _config(config.get("layer")) if kind == "Bidirectional" else config
    sequences = kind in (*RECURRENT, "Bidirectional") and recurrent.get("return_sequences")
    return before[0] if before and (sequences or kind in PASS_MASKS) else None


def _merged(model: Model, calls: list[Call], before: list[Any]) -> Any:
    """Returns the mask of several arrays in one: what is masked in all of them is masked."""
    layer = model.layers[calls[-1].layer]
    along = layer.get("class_name") == "Concatenate" and _config(layer).get("axis", -1) != -1
    if UNKNOWN in before or (along and any(before)):
        return UNKNOWN
    if not before or None in before:
        return None
    one, *others = dict.fromkeys(before)
    for other in others:
        one = _add(model, calls, "LogicalOr", one, other)
    return one


def _add(model: Model, calls: list[Call], kind: str, *inputs: Any) -> Tensor:
    """Adds an operation, as Keras 3 writes it, and returns what it returns."""
    name = f"mask_{len(model.layers)}"
    while name in model.layers:
        name += "_"
    model.layers[name] = {"module": "keras.src.ops.numpy", "class_name": kind, "config": {"name": name}}
    calls.append(Call(name, 0, list(inputs)))
    return Tensor(name)


def _needed(calls: list[Call], outputs: list[Tensor]) -> list[Call]:
    """Returns the calls without those that make masks for nothing."""
    needed, kept = {(tensor.layer, tensor.node) for tensor in outputs}, []
    for call in reversed(calls):
        if (call.layer, call.node) in needed:
            needed |= {(tensor.layer, tensor.node) for tensor in call.needs}
            kept.append(call)
    return kept[::-1]
