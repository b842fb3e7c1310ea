"""What Keras's activations and layers without weights compute, by their configuration.

None stands for what is not known: a layer of the user's own, a Lambda, a setting that is not here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.nn import ACTIVATIONS, hard_sigmoid_keras2

Config = Mapping[str, Any]
Activation = Callable[[jax.Array], jax.Array]

# A file may ask for any size: elements of all arrays, and of one that is read through every window.
LARGEST, MOST_READ = 1 << 26, 1 << 32

# A configuration comes from a file: whatever is odd about it shows as one of these.
ODD = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
    AssertionError,
)

# Keras 2 computes another function by this name; the others are not Keras's, but modules use them.
HARD_SIGMOID_KERAS2 = "hard_sigmoid of Keras 2"
OTHERS: dict[str, Activation] = {
    HARD_SIGMOID_KERAS2: hard_sigmoid_keras2,
    "gelu(approximate=True)": jax.nn.gelu,
    "leaky_relu(negative_slope=0.01)": jax.nn.leaky_relu,
    "leaky_relu(negative_slope=0.3)": partial(jax.nn.leaky_relu, negative_slope=0.3),
}
ALL_ACTIVATIONS = ACTIVATIONS | OTHERS


def activation_named(value: Any, version: str) -> str | None:
    """Returns the name in `ALL_ACTIVATIONS` of an activation in a configuration; None if unknown."""
    if isinstance(value, Mapping):  # a function that was serialized as an object
        value = value.get("config") if value.get("class_name") == "function" else ""
    name = "linear" if value is None else str(value)
    if name == "hard_sigmoid" and version.startswith(("1.", "2.")):
        return HARD_SIGMOID_KERAS2
    return name if name in ALL_ACTIVATIONS else None


def activation_of(value: Any, version: str) -> Activation | None:
    """Returns the function of an activation in a configuration: a name, a serialized function or layer."""
    if isinstance(value, Mapping) and value.get("class_name") in ("ReLU", "LeakyReLU", "ELU", "Softmax"):
        return partial(FUNCTIONS[value["class_name"]], value.get("config", {}))
    name = activation_named(value, version)
    return None if name is None else ALL_ACTIVATIONS[name]


def is_keras(layer: Config) -> bool:
    """Whether a layer is Keras's own; older files do not tell, but name no class of the user's that loads."""
    return str(layer.get("module", "keras.layers")).startswith(
        ("keras.layers", "keras.src.layers", "tf_keras")
    )


def _is_operator(layer: Config) -> bool:
    """Whether a layer is a sum, difference or product of arrays, written as such in Keras 3."""
    operators = ("Add", "Subtract", "Multiply")
    return str(layer.get("module")).startswith("keras.src.ops") and layer.get("class_name") in operators


def compute(layer: Config, inputs: Sequence[jax.Array], version: str) -> jax.Array | None:
    """Returns what a layer without weights makes of its inputs; None if that is not known."""
    function, config = FUNCTIONS.get(str(layer.get("class_name"))), layer.get("config", {})
    if layer.get("class_name") == "Activation" and isinstance(config, Mapping):
        activation = activation_of(config.get("activation"), version)
        function = None if activation is None else lambda config, x: activation(x)
    if function is None or not (is_keras(layer) or _is_operator(layer)):
        return None
    try:
        call = partial(function, config)
        if jax.eval_shape(call, *inputs).size > LARGEST:
            return None
        return call(*inputs)
    except ODD:
        return None


def _first(config: Config) -> bool:
    return config.get("data_format") == "channels_first"


def _per_axis(value: Any, rank: int) -> tuple[Any, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _spatial(function: Callable[[Config, jax.Array], jax.Array], config: Config, x: jax.Array) -> jax.Array:
    """Applies a function of channels-last maps to maps of the layout that the configuration names."""
    if not _first(config):
        return function(config, x)
    return jnp.moveaxis(function(config, jnp.moveaxis(x, 1, -1)), -1, 1)


def _pool(function: Callable[..., jax.Array], config: Config, x: jax.Array) -> jax.Array:
    window = _per_axis(config["pool_size"], x.ndim - 2)
    strides = _per_axis(config.get("strides") or window, x.ndim - 2)
    if math.prod(window) * x.size > MOST_READ:
        raise NotImplementedError
    return function(x, window, strides, config.get("padding", "valid").upper())


def _global(function: Callable[..., jax.Array], config: Config, x: jax.Array) -> jax.Array:
    axes = tuple(range(2, x.ndim)) if _first(config) else tuple(range(1, x.ndim - 1))
    return function(x, axes, keepdims=bool(config.get("keepdims", False)))


def _sides(value: Any, rank: int) -> list[tuple[int, int]]:
    if rank == 1 and not isinstance(value, int):  # (left, right)
        value = [value]
    pairs = [_per_axis(side, 2) for side in _per_axis(value, rank)]
    return [(int(a), int(b)) for a, b in pairs]


def _pad(config: Config, x: jax.Array) -> jax.Array:
    return jnp.pad(x, [(0, 0), *_sides(config["padding"], x.ndim - 2), (0, 0)])


def _crop(config: Config, x: jax.Array) -> jax.Array:
    sides = _sides(config["cropping"], x.ndim - 2)
    return x[:, *(slice(a, n - b) for (a, b), n in zip(sides, x.shape[1:-1], strict=True))]


def _enlarge(config: Config, x: jax.Array) -> jax.Array:
    if config.get("interpolation", "nearest") != "nearest":
        raise NotImplementedError
    for axis, times in enumerate(_per_axis(config["size"], x.ndim - 2), start=1):
        x = jnp.repeat(x, times, axis)
    return x


def _relu(config: Config, x: jax.Array) -> jax.Array:
    slope = config.get("negative_slope", config.get("alpha", 0.0)) or 0.0
    threshold, most = config.get("threshold", config.get("theta", 0.0)) or 0.0, config.get("max_value")
    y = jnp.where(x >= threshold, x, slope * (x - threshold))
    return y if most is None else jnp.minimum(y, most)


def _flatten(config: Config, x: jax.Array) -> jax.Array:
    x = jnp.moveaxis(x, 1, -1) if _first(config) else x
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _rescale(config: Config, x: jax.Array) -> jax.Array:
    return x * float(config["scale"]) + float(config.get("offset", 0.0))


def _merge(function: Callable[..., jax.Array], config: Config, *inputs: jax.Array) -> jax.Array:
    if len(inputs) < 2 or len({x.ndim for x in inputs}) > 1:
        raise NotImplementedError
    return reduce(function, inputs)


FUNCTIONS: dict[str, Callable[..., jax.Array]] = {
    "ReLU": _relu,
    "LeakyReLU": lambda config, x: _relu(
        {"negative_slope": config.get("negative_slope", config.get("alpha", 0.3))}, x
    ),
    "ELU": lambda config, x: jax.nn.elu(x, config.get("alpha", 1.0)),
    "Softmax": lambda config, x: jax.nn.softmax(x, config.get("axis", -1)),
    "Flatten": _flatten,
    "Reshape": lambda config, x: x.reshape(x.shape[0], *config["target_shape"]),
    "Permute": lambda config, x: x.transpose(0, *config["dims"]),
    "RepeatVector": lambda config, x: jnp.repeat(x[:, None], config["n"], 1),
    "Rescaling": _rescale,
    "Concatenate": lambda config, *inputs: jnp.concatenate(inputs, config.get("axis", -1)),
    "Add": partial(_merge, jnp.add),
    "Subtract": partial(_merge, jnp.subtract),
    "Multiply": partial(_merge, jnp.multiply),
    "Maximum": partial(_merge, jnp.maximum),
    "Minimum": partial(_merge, jnp.minimum),
    "Average": lambda config, *inputs: _merge(jnp.add, config, *inputs) / len(inputs),
}
IDENTITIES = {
    *("Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout"),
    *("GaussianNoise", "AlphaDropout", "ActivityRegularization", "Masking", "RandomFlip", "RandomRotation"),
    *("RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"),
}
FUNCTIONS |= dict.fromkeys(IDENTITIES, lambda config, x: x)
for _rank in "123":
    for _name, _function in {
        "MaxPooling": partial(_spatial, partial(_pool, linen.max_pool)),
        "AveragePooling": partial(_spatial, partial(_pool, partial(linen.avg_pool, count_include_pad=False))),
        "GlobalMaxPooling": partial(_global, jnp.max),
        "GlobalAveragePooling": partial(_global, jnp.mean),
        "ZeroPadding": partial(_spatial, _pad),
        "Cropping": partial(_spatial, _crop),
        "UpSampling": partial(_spatial, _enlarge),
    }.items():
        FUNCTIONS[f"{_name}{_rank}D"] = _function
