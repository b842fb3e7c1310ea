"""Keras's activations: functions of arrays, by name and with their slopes and bounds.

Those that JAX has are JAX's. A layer takes a function or its name; for other arguments than the defaults
give it a function: ``Conv(8, 3, activation=partial(leaky_relu, negative_slope=0.1))``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.errors import lookup

Activation = str | Callable[[jax.Array], jax.Array] | None


def linear(x: jax.Array) -> jax.Array:
    """Returns x."""
    return x


def relu(
    x: jax.Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> jax.Array:
    """Returns x where it exceeds the threshold, and ``negative_slope * (x - threshold)`` elsewhere.

    Args:
      x: Numbers, of any shape.
      negative_slope: Slope below the threshold.
      max_value: Largest value that is returned; None for no bound.
      threshold: Where the function jumps from 0 to x.

    Examples:
      >>> relu(jnp.array([-2.0, 0.5, 3.0, 9.0]), negative_slope=0.1, max_value=6, threshold=1).tolist()
      [-0.30000001192092896, -0.05000000074505806, 3.0, 6.0]
    """
    if threshold == 0 and max_value is None:
        return jax.nn.leaky_relu(x, negative_slope) if negative_slope else jax.nn.relu(x)
    y = jax.nn.relu(x) if threshold == 0 else jnp.where(x > threshold, x, jnp.zeros_like(x))
    y = y if max_value is None else jnp.clip(y, 0, max_value)
    return y - negative_slope * jax.nn.relu(threshold - x) if negative_slope else y


def leaky_relu(x: jax.Array, negative_slope: float = 0.2) -> jax.Array:
    """Returns x where it is positive, else ``negative_slope * x``; Keras's layer LeakyReLU has 0.3."""
    return jax.nn.leaky_relu(x, negative_slope)


def gelu(x: jax.Array, approximate: bool = False) -> jax.Array:
    """Returns ``x * P(normal < x)``, or its approximation by tanh (arXiv 1606.08415), JAX's default."""
    return jax.nn.gelu(x, approximate=approximate)


def hard_shrink(x: jax.Array, threshold: float = 0.5) -> jax.Array:
    """Returns x where its magnitude exceeds the threshold, else 0."""
    return jnp.where(jnp.abs(x) > threshold, x, jnp.zeros_like(x))


def soft_shrink(x: jax.Array, threshold: float = 0.5) -> jax.Array:
    """Returns x drawn towards 0 by the threshold, 0 where its magnitude is less."""
    return jnp.where(jnp.abs(x) > threshold, x - jnp.sign(x) * threshold, jnp.zeros_like(x))


def tanh_shrink(x: jax.Array) -> jax.Array:
    """Returns ``x - tanh(x)``."""
    return x - jnp.tanh(x)


ACTIVATIONS: dict[str, Callable[..., jax.Array]] = {
    "linear": linear,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": jax.nn.elu,  # alpha=1.0
    "celu": jax.nn.celu,  # alpha=1.0
    "selu": jax.nn.selu,
    "gelu": gelu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "mish": jax.nn.mish,
    "relu6": jax.nn.relu6,
    "sigmoid": jax.nn.sigmoid,
    "log_sigmoid": jax.nn.log_sigmoid,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "hard_swish": jax.nn.hard_silu,
    "tanh": jnp.tanh,
    "hard_tanh": jax.nn.hard_tanh,
    "tanh_shrink": tanh_shrink,
    "hard_shrink": hard_shrink,
    "soft_shrink": soft_shrink,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "softmax": jax.nn.softmax,  # axis=-1
    "log_softmax": jax.nn.log_softmax,  # axis=-1
    "exponential": jnp.exp,
    "squareplus": jax.nn.squareplus,  # b=4
    "sparse_plus": jax.nn.sparse_plus,
    "sparse_sigmoid": jax.nn.sparse_sigmoid,
    "glu": jax.nn.glu,  # axis=-1
}


def get_activation(activation: Activation) -> Callable[[jax.Array], jax.Array]:
    """Returns the function with this name in `ACTIVATIONS`; None is `linear`, a function stays as it is.

    Raises:
      UserError: If the name is not in the table.
    """
    if activation is None:
        return linear
    return lookup(ACTIVATIONS, activation, "activation") if isinstance(activation, str) else activation


def activate(activation: Activation, x: jax.Array) -> jax.Array:
    """Returns the activation of x."""
    return get_activation(activation)(x)
