"""Our layers, activations and initializers inside Keras's: by name, and with what arguments they have.

A layer keeps Keras's weights and shapes; what it computes is our module, applied to those weights.
"""

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import keras
from flax import linen
from keras.src import activations as their_activations
from keras.src import initializers as their_initializers

from jaxnets import nn
from tests.keras_suite.adapter import array, exchange, given, refuse, renamed, same, snake, use

CONVOLUTION = {"filters": "features", "dilation_rate": "dilation"}
DEPTHWISE = {"depth_multiplier": "multiplier", "dilation_rate": "dilation"}
MODULES: dict[str, tuple[str, dict[str, str]]] = {
    "Dense": ("Dense", {"units": "features"}),
    **{f"Conv{rank}D": ("Conv", CONVOLUTION) for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": ("ConvTranspose", CONVOLUTION) for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": ("DepthwiseConv", DEPTHWISE) for rank in (1, 2)},
    **{f"SeparableConv{rank}D": ("SeparableConv", CONVOLUTION | DEPTHWISE) for rank in (1, 2)},
    "Embedding": ("Embedding", {"input_dim": "vocabulary", "output_dim": "features"}),
    "BatchNormalization": ("BatchNorm", {"center": "use_bias", "scale": "use_scale"}),
    "Dropout": ("Dropout", {"noise_shape": "noise_shape"}),
    **{name: (name, {}) for name in ("SimpleRNN", "LSTM", "GRU")},
}
# They change no number of one call: how weights begin, what is added to a loss, names.
NEUTRAL = {"name", "trainable", "dtype", "seed", "batch_input_shape", "input_length", "implementation"}
INITIAL = ("_initializer",)
WEIGHTS = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
WEIGHTS |= {"embeddings": "embedding"}
POOLING = {f"{kind}Pooling{rank}D": rank for kind in ("Max", "Average") for rank in (1, 2, 3)}
GLOBAL = {f"Global{kind}Pooling{rank}D": rank for kind in ("Max", "Average") for rank in (1, 2, 3)}


def install(subjects: set[str]) -> None:
    """Puts our modules into Keras's layers; the subjects of tests that have no counterpart refuse."""
    for name in MODULES:
        _patch(getattr(keras.layers, name), name, _call)
    if hasattr(nn, "embedding_mask"):
        NEUTRAL.add("mask_zero")
        keras.layers.Embedding.compute_mask = _embedding_mask
    for name in POOLING:
        _patch(getattr(keras.layers, name), name, _pool)
    for name in GLOBAL:
        _patch(getattr(keras.layers, name), name, _pool_all)
    ours = MODULES.keys() | POOLING.keys() | GLOBAL.keys() | ALONE
    for name in subjects - ours:
        kind = getattr(keras.layers, name, None)
        if isinstance(kind, type):
            kind.__init__ = _refusing(kind.__init__, kind, name)
    if hasattr(nn, "ACTIVATIONS"):
        for name, ours_ in nn.ACTIVATIONS.items():
            if inspect.isfunction(theirs := getattr(their_activations, name, None)):
                exchange(theirs, _activation(name, ours_, inspect.signature(theirs)))
    for name in dir(their_initializers):
        kind = getattr(their_initializers, name)
        if isinstance(kind, type) and snake(name) in INITIALIZERS:
            kind.__call__ = _initialize


# Layers whose tests are of Keras's own machinery, or that wrap ours.
ALONE = {"Layer", "Bidirectional", "Wrapper", "InputLayer", "Identity", "Lambda", "RNN", "TimeDistributed"}
ALONE |= {"Masking", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Flatten"}
INITIALIZERS = {"zeros", "ones", "constant", "identity", "orthogonal", "variance_scaling", "random_normal"}
INITIALIZERS |= {"truncated_normal", "random_uniform", "glorot_uniform", "glorot_normal", "he_uniform"}
INITIALIZERS |= {"he_normal", "lecun_uniform", "lecun_normal"}


def _patch(kind: type, name: str, call: Any) -> None:
    @functools.wraps(kind.call)
    def called(self: Any, *arguments: Any, **options: Any) -> Any:
        return call(self, *arguments, **options)

    kind.call = called
    if hasattr(kind, "quantize"):
        kind.quantize = _quantize
    if hasattr(kind, "enable_lora"):
        kind.enable_lora = _enable_lora
    init = kind.__init__

    def checked(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        if type(self) is kind:
            if getattr(self, "quantization_mode", None):
                refuse("quantization")
            self._jaxnets = _arguments(self, name)

    checked.__signature__, checked.__wrapped__ = inspect.signature(init), init
    kind.__init__ = checked


def _refusing(init: Any, kind: type, name: str) -> Any:
    def refusing(self: Any, *arguments: Any, **options: Any) -> None:
        if type(self) is kind:
            refuse(f"layer {name}")
        init(self, *arguments, **options)

    refusing.__signature__ = inspect.signature(init)
    return refusing


def _quantize(self: Any, *arguments: Any, **options: Any) -> None:
    refuse("quantization")


def _enable_lora(self: Any, *arguments: Any, **options: Any) -> None:
    refuse("LoRA")


def _embedding_mask(self: Any, inputs: Any, mask: Any = None) -> Any:
    return nn.embedding_mask(inputs) if self.mask_zero else None


def _settings(self: Any) -> dict[str, Any]:
    return {k: v for k, v in given(self, NEUTRAL).items() if not k.endswith(INITIAL)}


def _arguments(self: Any, name: str) -> dict[str, Any]:
    """Returns the fields of our module for a layer of Keras; refuses what the module has no field for."""
    if name in POOLING or name in GLOBAL:
        return _pool_arguments(self, name)
    ours, names = MODULES[name]
    kind = getattr(nn, ours)
    fields = {field.name for field in dataclasses.fields(kind)} - {"parent", "name"}
    rank = getattr(self, "rank", 2)
    if rank != 2 and "dilation" not in fields:
        refuse(f"{name}: convolutions are of images")
    settings = _settings(self)
    known = {key: names.get(key, key) for key in settings if names.get(key, key) in fields}
    found = renamed(settings, known, f"layer {name}")
    for key in ("activation", "recurrent_activation"):
        if key in found:
            found[key] = getattr(self, key, None) or getattr(self.cell, key)
    for key in ("kernel_size", "strides", "dilation"):
        if key in fields and hasattr(self, "rank"):
            theirs = "dilation_rate" if key == "dilation" else key
            found[key] = tuple(getattr(self, theirs))
    return found


def _call(self: Any, inputs: Any, *more: Any, **options: Any) -> Any:
    name = next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in MODULES)
    ours, _ = MODULES[name]
    kind = getattr(nn, ours)
    dtype = None if self.compute_dtype == self.variable_dtype else self.compute_dtype
    extra = {"dtype": dtype} if "dtype" in {f.name for f in dataclasses.fields(kind)} else {}
    arguments = self._jaxnets if hasattr(self, "_jaxnets") else _arguments(self, name)
    module = kind(**arguments, **extra)
    accepted = inspect.signature(kind.__call__).parameters
    keywords = _keywords(self, name, list(more), options, accepted)
    use(name)
    x = array(inputs)
    if name == "Dropout":
        key = jax.random.key(0) if isinstance(x, jax.core.Tracer) else self.seed_generator.next()
        key = jax.random.key(jnp.ravel(jnp.asarray(key))[0]) if not _is_key(key) else key
        return module.apply({}, x, keywords.get("train", False), rngs={"dropout": key})
    variables = _variables(self, module, x, keywords)
    if name != "BatchNormalization":
        return module.apply(variables, x, **keywords)
    keywords.setdefault("train", False)
    if not self.trainable:
        keywords["train"] = False
    y, changed = module.apply(variables, x, **keywords, mutable=["batch_stats"])
    if keywords["train"]:
        self.moving_mean.assign(changed["batch_stats"]["mean"])
        self.moving_variance.assign(changed["batch_stats"]["var"])
    return y


def _is_key(key: Any) -> bool:
    return jnp.issubdtype(getattr(key, "dtype", jnp.float32), jax.dtypes.prng_key)


def _keywords(
    self: Any, name: str, more: list[Any], options: dict[str, Any], accepted: Any
) -> dict[str, Any]:
    order = {
        "SimpleRNN": ("mask", "training", "initial_state"),
        "LSTM": ("mask", "training", "initial_state"),
    }
    order = order | {"GRU": order["LSTM"], "BatchNormalization": ("training", "mask")}
    given_ = dict(zip(order.get(name, ("training",)), more, strict=False)) | options
    training = given_.pop("training", None)
    if initial := given_.pop("initial_state", None):
        given_["initial_state"] = initial if isinstance(initial, (list, tuple)) else [initial]
    keywords = {key: value for key, value in given_.items() if value is not None}
    by_position = name == "BatchNormalization" and jnp.ndim(keywords.get("mask", 0)) > 1
    if by_position and "axis" not in {field.name for field in dataclasses.fields(nn.BatchNorm)}:
        refuse("layer BatchNormalization called with a mask of positions")
    for key in keywords.keys() - accepted.keys():
        refuse(f"layer {name} called with {key}")
    if "train" in accepted and (name in ("Dropout", "BatchNormalization") or training is not None):
        keywords["train"] = bool(training)
    if keywords.get("train") and (getattr(self, "dropout", 0) or getattr(self, "recurrent_dropout", 0)):
        refuse(f"layer {name} with Keras's random numbers")
    return keywords


def _variables(self: Any, module: linen.Module, x: Any, keywords: dict[str, Any]) -> Any:
    """Returns our module's variables with the layer's weights, matched by name."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, **keywords))
    weights = {WEIGHTS.get(weight.name, weight.name): weight for weight in self.weights}

    def value(path: Any, shape: Any) -> Any:
        name = path[-1].key
        return array(weights[name]).reshape(shape.shape)

    return jax.tree_util.tree_map_with_path(value, shapes)


def _pool_arguments(self: Any, name: str) -> dict[str, Any]:
    every_rank = "rank" in inspect.signature(nn.global_avg_pool).parameters
    if (POOLING | GLOBAL)[name] != 2 and not every_rank:
        refuse(f"layer {name}: pooling is of images")
    settings = _settings(self)
    known = {"pool_size": "window", "strides": "strides", "padding": "padding"} if name in POOLING else {}
    if every_rank and name in GLOBAL:
        known = {"keepdims": "keepdims"}
    return renamed(settings, known, f"layer {name}")


def _pool(self: Any, inputs: Any) -> Any:
    name = next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in POOLING)
    arguments = _pool_arguments(self, name)
    use(name)
    function = nn.max_pool if name.startswith("Max") else nn.avg_pool
    window = tuple(self.pool_size)
    strides = tuple(self.strides) if not isinstance(self.strides, int) else (self.strides,) * len(window)
    return function(array(inputs), window, strides, arguments.get("padding", self.padding))


def _pool_all(self: Any, inputs: Any, mask: Any = None) -> Any:
    name = next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in GLOBAL)
    arguments = _pool_arguments(self, name)
    use(name)
    function = nn.global_max_pool if "Max" in name else nn.global_avg_pool
    if "rank" in inspect.signature(function).parameters:
        arguments["rank"] = GLOBAL[name]
    if mask is not None:
        if "mask" not in inspect.signature(function).parameters:
            refuse(f"layer {name} called with mask")
        arguments["mask"] = mask
    return function(array(inputs), **arguments)


def _activation(name: str, ours: Any, signature: inspect.Signature) -> Any:
    accepted = inspect.signature(ours).parameters

    def activation(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options).arguments
        x = bound.pop(next(iter(signature.parameters)))
        if type(x).__name__ == "KerasTensor":
            refuse(f"activation {name} of a symbolic tensor")
        bound = {key: v for key, v in bound.items() if v != signature.parameters[key].default}
        for key in bound.keys() - accepted.keys():
            refuse(f"activation {name}({key}=...)")
        use(name)
        return ours(array(x), **bound)

    activation.__name__, activation.__signature__ = name, signature
    return activation


def _initialize(self: Any, shape: Any, dtype: Any = None, **options: Any) -> Any:
    name = snake(next(k.__name__ for k in type(self).__mro__ if snake(k.__name__) in INITIALIZERS))
    parameters = inspect.signature(type(self)).parameters  # some are not in the configuration
    arguments = {key: getattr(self, key) for key in parameters if key != "seed" and hasattr(self, key)}
    arguments = {key: v for key, v in arguments.items() if not same(v, parameters[key].default)}
    for key in arguments.keys() & {"input_axes", "output_axes"}:
        refuse(f"initializer {name}({key}=...)")
    takes_arguments = len(inspect.signature(nn.get_initializer).parameters) > 1
    if name not in nn.INITIALIZERS or (arguments and not takes_arguments):
        refuse(f"initializer {name}({', '.join(arguments)})")
    use(name)
    draw = nn.get_initializer(name, **arguments) if arguments else nn.get_initializer(name)
    dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
    return draw(_key(getattr(self, "seed", 0)), tuple(shape), dtype)


def _key(seed: Any) -> jax.Array:
    """Returns a key for a seed of Keras, which is a number or has a number and a counter."""
    if isinstance(seed, int):
        return jax.random.key(seed)
    number, counter = array(seed.state)
    seed.next()
    return jax.random.fold_in(jax.random.key(number), counter)
