"""The code of operations on tensors: operators between them, and functions of keras.ops."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxnets.keras_weights.skeleton.settings import Piece, Settings
from jaxnets.keras_weights.skeleton.weightless import WEIGHTLESS, expression


def _operator(s: Settings, operator: str) -> Piece:
    """An operator between tensors or numbers, which Keras 3 makes a layer; its inputs may be broadcast."""
    known = [rank for rank in s.ranks if rank is not None]
    return Piece(call=lambda layer, *inputs: f" {operator} ".join(inputs), rank=max(known, default=None))


def _any_along(s: Settings) -> Piece:
    axis, keep = s.whole("axis"), s.flag("keepdims")
    rank = None if s.ranks[0] is None or keep else s.rank - 1
    return expression(f"jnp.any({{0}}, {axis}{', keepdims=True' * keep})", rank)


def _expand(s: Settings) -> Piece:
    rank = None if s.ranks[0] is None else s.rank + 1
    return expression(f"jnp.expand_dims({{0}}, {s.whole('axis')})", rank)


def _constant_like(s: Settings, name: str) -> Piece:
    s.one_of("dtype", "bool")
    return expression(f"jnp.{name}_like({{0}}, bool)")


# Operators between tensors: classes of Keras 3 (keras.src.ops) and functions of Keras 2 (TFOpLambda).
OPERATORS = {
    **dict.fromkeys(("Add", "math.add", "__operators__.add"), "+"),
    **dict.fromkeys(("Subtract", "math.subtract", "__operators__.sub"), "-"),
    **dict.fromkeys(("Multiply", "math.multiply", "__operators__.mul"), "*"),
    **dict.fromkeys(("Divide", "TrueDivide", "math.truediv", "__operators__.truediv"), "/"),
    **{"Equal": "==", "NotEqual": "!=", "LogicalOr": "|", "LogicalAnd": "&"},
}
# Operations of keras.ops, such as make masks.
OPERATIONS: dict[str, Callable[[Settings], Piece]] = {
    "Relu": lambda s: expression("linen.relu({0})"),
    "Relu6": lambda s: expression("linen.relu6({0})"),
    "Sigmoid": lambda s: expression("linen.sigmoid({0})"),
    "Silu": lambda s: expression("linen.silu({0})"),
    "Tanh": lambda s: expression("jnp.tanh({0})"),
    "Exp": lambda s: expression("jnp.exp({0})"),
    "Log": lambda s: expression("jnp.log({0})"),
    "Sqrt": lambda s: expression("jnp.sqrt({0})"),
    "Square": lambda s: expression("jnp.square({0})"),
    "Absolute": lambda s: expression("jnp.abs({0})"),
    "Negative": lambda s: expression("-{0}"),
    "Any": _any_along,
    "ExpandDims": _expand,
    "ZerosLike": partial(_constant_like, name="zeros"),
    "OnesLike": partial(_constant_like, name="ones"),
    "Concatenate": WEIGHTLESS["Concatenate"],
}


def operator_of(layer: Any) -> Callable[[Settings], Piece] | None:
    """Returns the code of an operation, if a layer's configuration is that of one.

    A legacy ``.h5`` does not tell an operator from the layer Add; they differ only in what they broadcast.
    """
    kind, config, module = layer.get("class_name"), layer.get("config", {}), layer.get("module")
    if kind == "TFOpLambda":
        kind = config.get("function")
    elif module is not None and not str(module).startswith("keras.src.ops"):
        return None
    if kind in OPERATIONS:
        return OPERATIONS[kind]
    return partial(_operator, operator=OPERATORS[kind]) if kind in OPERATORS else None
