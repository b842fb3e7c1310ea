"""Our losses inside Keras's: functions are replaced by name; classes call them and `losses.reduce`."""

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from keras.src import backend
from keras.src.losses import loss as base
from keras.src.losses import losses as theirs

from jaxnets import losses
from tests.keras_suite.adapter import array, exchange, refuse, renamed, use

SAME = ("gamma", "alpha", "beta", "delta", "label_smoothing")
WHOLE = ("dice", "tversky", "ctc")  # these have one value per example, not one per position


def install() -> None:
    """Puts our losses into Keras's modules; those that have no counterpart refuse."""
    for name, function in list(vars(theirs).items()):
        if inspect.isfunction(function) and function.__module__ == theirs.__name__ and name.islower():
            if name in ("convert_binary_labels_to_hinge", "serialize", "deserialize", "get"):
                continue
            exchange(function, _adapted(name, inspect.signature(function)))
    exchange(base.reduce_weighted_values, _reduce)


def _adapted(name: str, signature: inspect.Signature) -> Callable[..., Any]:
    def loss(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options).arguments
        y_true, y_pred = array(bound.pop("y_true")), array(bound.pop("y_pred"))
        changed = {key: v for key, v in bound.items() if _differs(v, signature.parameters[key].default)}
        return _call(name, y_true, y_pred, changed)

    loss.__name__ = loss.__qualname__ = name
    loss.__module__, loss.__signature__ = theirs.__name__, signature  # type: ignore[attr-defined]
    return loss


def _differs(value: Any, default: Any) -> bool:
    return isinstance(value, (list, tuple)) or (value is not default and value != default)


def _call(name: str, y_true: Any, y_pred: Any, options: dict[str, Any]) -> Any:
    ours = name
    logits = options.pop("from_logits", False)
    if f"{name}_from_probabilities" in vars(losses) and not logits:
        ours = f"{name}_from_probabilities"
    function = vars(losses).get(ours) or refuse(f"loss {name}")
    if not jnp.issubdtype(y_pred.dtype, jnp.floating):
        y_pred = y_pred.astype(backend.floatx())
    if name in WHOLE:
        return _whole(name, function, y_true, y_pred, options)
    if options.pop("apply_class_balancing", False):
        options.setdefault("alpha", 0.25)
    elif name == "binary_focal_crossentropy":
        options.pop("alpha", None)
    ignored = options.pop("ignore_class", None)
    if options.get("axis") == y_pred.ndim - 1:
        options.pop("axis")
    options = renamed(options, dict.fromkeys(SAME) | {key: key for key in SAME}, f"loss {name}")
    use(name)
    dtype = y_pred.dtype
    if name.startswith("sparse"):
        return _sparse(function, y_true, y_pred, ignored, options).astype(dtype)
    y_true, y_pred = base.squeeze_or_expand_to_same_rank(y_true.astype(dtype), y_pred)
    values = function(_rows(y_pred), _rows(y_true), **options)
    return values.reshape(y_pred.shape[:-1]).astype(dtype)


def _rows(values: Any) -> Any:
    """Returns every position as an example of its own."""
    return values.reshape(-1, values.shape[-1])


def _sparse(function: Any, y_true: Any, y_pred: Any, ignored: int | None, options: dict[str, Any]) -> Any:
    positions = y_pred.shape[:-1]
    labels = jnp.round(y_true).astype(jnp.int32).reshape(positions)
    flat = _rows(y_pred), labels.reshape(-1)
    if ignored is None:
        return function(*flat, **options).reshape(positions)
    values, counted = losses.ignore_class(function, ignored)(*flat)
    values = values.reshape(positions)
    backend.set_keras_mask(values, mask=counted.reshape(positions) > 0)
    return values


def _whole(name: str, function: Any, y_true: Any, y_pred: Any, options: dict[str, Any]) -> Any:
    axis = options.pop("axis", None)
    options = renamed(options, {"alpha": "alpha", "beta": "beta"}, f"loss {name}")
    use(name)
    if name == "ctc":
        return function(y_pred, y_true.astype(jnp.int32))
    y_true = y_true.astype(y_pred.dtype)
    if axis is None:  # one number for the whole batch, which is one example
        return function(y_pred[None], y_true[None], **options)[0].astype(y_pred.dtype)
    if tuple(axis) != tuple(range(1, y_pred.ndim)):
        refuse(f"loss {name}(axis={axis!r})")
    return function(y_pred, y_true, **options).astype(y_pred.dtype)


def _reduce(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: Any = "sum_over_batch_size",
    dtype: Any = None,
) -> Any:
    reduction = {None: "none", "mean": "sum_over_batch_size"}.get(reduction, reduction)
    values = array(values, dtype)
    weights = None if sample_weight is None else array(sample_weight, values.dtype)
    if weights is not None and weights.ndim and values.ndim:
        values, weights = base.squeeze_or_expand_to_same_rank(values, weights)
    if weights is not None and (weights.ndim > values.ndim or not weights.ndim):
        weights = jnp.broadcast_to(weights, values.shape)
    use("reduce")
    if mask is None:
        return losses.reduce(values, weights, reduction).astype(values.dtype)
    values, mask = base.squeeze_or_expand_to_same_rank(values, array(mask, values.dtype))
    mask = jnp.broadcast_to(losses.values.broadcast(mask, values), values.shape)
    if reduction == "sum_over_batch_size":
        return losses.reduce(losses.Weighted(values * mask, mask), weights).astype(values.dtype)
    weights = mask if weights is None else losses.values.broadcast(weights, values) * mask
    return losses.reduce(values, weights, reduction).astype(values.dtype)
