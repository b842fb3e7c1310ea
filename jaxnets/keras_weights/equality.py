"""Whether a layer of the module is given what the Keras layer is given."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.keras_weights.observe import Seen
from jaxnets.keras_weights.replay import Value, is_channels_first
from jaxnets.keras_weights.settings import per_axis
from jaxnets.keras_weights.weightless import ODD

Config = Mapping[str, Any]
Pads = Sequence[tuple[int, int]]

LONGEST = 1 << 12  # of a kernel; a file may ask for any length


def comparable(value: Value, layer: Config, seen: Seen) -> tuple[Any, Any]:
    """Returns Keras's input of a layer and the module's, such that equal ones mean the same to the layer.

    Ids are whole numbers; and convolutions may pad their input themselves or be given it padded.
    """
    theirs, ours, config = value.array, seen.input, layer.get("config", {})
    if theirs is None or ours is None:
        return None, None
    theirs = channels_last(theirs, layer)
    if layer.get("class_name") == "Embedding":
        return theirs.astype(int), ours.astype(int)
    if seen.convolution is None or "padding" not in config or "output_padding" in config:
        return theirs, ours  # what is transposed pads its output
    try:
        pads, own = _same_pads(config, theirs.shape), _module_pads(seen)
    except ODD:
        return None, None
    if pads is None or own is None or len(own) != len(pads):
        return None, None
    return _padded(theirs, pads), _padded(ours, own)


def channels_last(x: Any, layer: Config) -> Any:
    """Returns a layer's input with its channels last, as the module's layers have them."""
    return jnp.moveaxis(x, 1, -1) if is_channels_first(layer, x.ndim) else x


def is_scaled(theirs: Any, ours: Any) -> bool:
    """Whether two inputs differ, by a factor and an offset for each channel alone."""
    if theirs.shape != ours.shape or wrong_part(theirs, ours) == 0:
        return False
    a, b = (np.asarray(x, np.float64).reshape(-1, x.shape[-1]) for x in (theirs, ours))
    a, b = a - a.mean(0), b - b.mean(0)
    factor = (a * b).sum(0) / np.maximum((a * a).sum(0), 1e-12)
    return len(a) > 2 and bool(np.allclose(a * factor, b, rtol=1e-3, atol=1e-3))


def wrong_part(theirs: Any, ours: Any) -> float | None:
    """Returns the part of the numbers that differ by more than rounding, 1 for another shape."""
    if theirs is None or ours is None:
        return None
    if theirs.shape != ours.shape:
        return 1.0
    types = [jnp.finfo(x.dtype).eps for x in (theirs, ours) if jnp.issubdtype(x.dtype, jnp.floating)]
    tolerance = max(1e-4, 8 * float(max(types, default=0)))
    a, b = (np.asarray(x, np.float64) for x in (theirs, ours))
    near = np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    return float(1 - near.mean()) if near.size else 0.0


def _same_pads(config: Config, shape: Sequence[int]) -> Pads | None:
    """Returns how a convolution of Keras's pads maps (batch, ..., channels); None if that is not known."""
    kernel, padding = config.get("kernel_size"), config.get("padding")
    rank = len(shape) - 2
    if padding == "valid":
        return [(0, 0)] * rank
    if kernel is None or padding not in ("same", "causal"):
        return None
    sizes, strides = per_axis(kernel, rank), per_axis(config.get("strides", 1), rank)
    reach = [d * (k - 1) for d, k in zip(per_axis(config.get("dilation_rate", 1), rank), sizes, strict=True)]
    if max(reach, default=0) > LONGEST:
        return None
    if padding == "causal":
        return [(r, 0) for r in reach]
    total = [
        max((-(-n // s) - 1) * s + r + 1 - n, 0) for n, s, r in zip(shape[1:-1], strides, reach, strict=True)
    ]
    return [(t // 2, t - t // 2) for t in total]


def _module_pads(seen: Seen) -> Pads | None:
    """Returns how the module's convolution pads its input; None if that is not known."""
    program = seen.convolution
    if program is None or not program["whole"] or math.prod(program["lhs_dilation"]) > 1:
        return None
    if program["dimension_numbers"].lhs_spec[1] == 1:  # the module's maps are channels-first
        return None
    return [(int(a), int(b)) for a, b in program["padding"]]


def _padded(x: jax.Array, pads: Pads) -> np.ndarray:
    """Returns maps (batch, ..., channels) with zeros around them; what is cut off is cut off."""
    array = np.asarray(x)
    for axis, (before, after) in enumerate(pads, start=1):
        around = [(0, 0)] * array.ndim
        around[axis] = (max(before, 0), max(after, 0))
        array = np.pad(array, around)
    return array
