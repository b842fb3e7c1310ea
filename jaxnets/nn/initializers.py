"""Keras's initializers by name: one table, every entry a function ``(key, shape, dtype) -> array``.

Fans follow Keras: the last axis counts outputs, the one before it inputs, and all axes in front of these are
the receptive field. A depthwise kernel ``(H, W, C, M)`` thus has fan-in ``H*W*C``, and a recurrent kernel is
drawn over its whole fused matrix ``(inputs, gates*units)``. A vector has its length for both.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import initializers as jax_init

from jaxnets.errors import UserError, lookup

Initializer = Callable[..., jax.Array]


def variance_scaling(
    scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal"
) -> Initializer:
    """Returns an initializer of variance ``scale / fan``.

    Args:
      scale: Number above 0.
      mode: "fan_in", "fan_out" or "fan_avg", their mean.
      distribution: "truncated_normal" ("normal" too, as in Keras), "untruncated_normal" or "uniform".
    """
    if scale <= 0:
        raise UserError(f"scale {scale} of variance_scaling: it must be above 0")
    kinds = {"truncated_normal": "truncated_normal", "normal": "truncated_normal", "uniform": "uniform"}
    kind: Any = lookup(kinds | {"untruncated_normal": "normal"}, distribution, "distribution")
    fan: Any = lookup({name: name for name in ("fan_in", "fan_out", "fan_avg")}, mode, "mode")
    draw = jax_init.variance_scaling(scale, fan, kind)

    def initialize(key: jax.Array, shape: Any, dtype: Any = float) -> jax.Array:
        if len(shape) > 1:
            return draw(key, shape, dtype)
        length = shape[0] if len(shape) else 1  # JAX has no fans for it
        vector = jax_init.variance_scaling(scale / max(length, 1), "fan_in", kind)
        return vector(key, (1, length), dtype).reshape(shape)

    return initialize


def constant(value: Any = 0.0) -> Initializer:
    """Returns an initializer of this value: a number, or an array of the parameter's shape."""
    return jax_init.constant(value)


def _identity(gain: float = 1.0) -> Initializer:
    def initialize(key: jax.Array, shape: Any, dtype: Any = float) -> jax.Array:
        if len(shape) != 2:
            raise UserError(f"the initializer identity makes matrices, not arrays of shape {tuple(shape)}")
        return jnp.asarray(gain, dtype) * jnp.eye(shape[0], shape[1], dtype=dtype)

    return initialize


def _orthogonal(gain: float = 1.0) -> Initializer:
    draw = jax_init.orthogonal(gain)

    def initialize(key: jax.Array, shape: Any, dtype: Any = float) -> jax.Array:
        if len(shape) < 2:
            raise UserError(f"the initializer orthogonal makes no arrays of shape {tuple(shape)}")
        return draw(key, shape, dtype)

    return initialize


def _random_normal(mean: float = 0.0, stddev: float = 0.05) -> Initializer:
    return _moved(jax_init.normal(stddev), mean)


def _truncated_normal(mean: float = 0.0, stddev: float = 0.05) -> Initializer:
    # Cut at two deviations, not rescaled: Keras's rule.
    return _moved(jax_init.truncated_normal(stddev), mean)


def _random_uniform(minval: float = -0.05, maxval: float = 0.05) -> Initializer:
    return lambda key, shape, dtype=float: jax.random.uniform(key, shape, dtype, minval, maxval)


def _moved(draw: Initializer, mean: float) -> Initializer:
    if mean == 0:
        return draw
    return lambda key, shape, dtype=float: draw(key, shape, dtype) + jnp.asarray(mean, dtype)


_MAKERS: dict[str, Callable[..., Initializer]] = {
    "zeros": lambda: jax_init.zeros,
    "ones": lambda: jax_init.ones,
    "constant": constant,
    "identity": _identity,
    "glorot_uniform": lambda: variance_scaling(1, "fan_avg", "uniform"),
    "glorot_normal": lambda: variance_scaling(1, "fan_avg"),
    "he_uniform": lambda: variance_scaling(2, "fan_in", "uniform"),
    "he_normal": lambda: variance_scaling(2, "fan_in"),
    "lecun_uniform": lambda: variance_scaling(1, "fan_in", "uniform"),
    "lecun_normal": lambda: variance_scaling(1, "fan_in"),
    "variance_scaling": variance_scaling,
    "orthogonal": _orthogonal,
    "random_normal": _random_normal,
    "truncated_normal": _truncated_normal,
    "random_uniform": _random_uniform,
}
INITIALIZERS: dict[str, Initializer] = {name: make() for name, make in _MAKERS.items()}

# Keras's other names of these; a name may also be that of Keras's class, GlorotUniform.
_ALIASES = {
    **{"zero": "zeros", "one": "ones", "normal": "random_normal", "uniform": "random_uniform"},
    **{"identity_initializer": "identity", "orthogonal_initializer": "orthogonal"},
}


def get_initializer(init: str | Initializer, **arguments: Any) -> Initializer:
    """Returns the initializer of this name; a function is returned as it is.

    Args:
      init: Name in `INITIALIZERS`, or Keras's name of the same: "HeNormal", "uniform".
      arguments: Arguments as in Keras instead of the defaults: ``scale``, ``mode`` and ``distribution`` of
        "variance_scaling", ``value`` of "constant", ``gain`` of "identity" and "orthogonal", ``mean`` and
        ``stddev`` of "random_normal" and "truncated_normal", ``minval`` and ``maxval`` of "random_uniform".

    Raises:
      UserError: If the name is not in the table, or an argument is not one of the initializer's.

    Examples:
      >>> init = get_initializer("constant", value=0.5)
      >>> init(jax.random.key(0), (2,), jnp.float32).tolist()
      [0.5, 0.5]
    """
    if not isinstance(init, str):
        return init
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", init).lower()
    name = _ALIASES.get(snake, snake)
    initializer = lookup(INITIALIZERS, name if name in INITIALIZERS else init, "initializer")
    if not arguments:
        return initializer
    known = inspect.signature(_MAKERS[name]).parameters
    if odd := [argument for argument in arguments if argument not in known]:
        takes = ", ".join(known) or "no arguments"
        raise UserError(f"the initializer {name} has no argument {odd[0]!r}: it takes {takes}")
    return _MAKERS[name](**arguments)
