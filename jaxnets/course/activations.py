"""The course's activations and, written out, the derivatives that `jax.grad` must find."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

SLOPE = 0.2  # of the leaky ReLU below 0: TensorFlow's default, while Keras's layer has 0.3

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "sigmoid": jax.nn.sigmoid,  # 1 / (1 + e^-x), in (0, 1)
    "tanh": jnp.tanh,  # (1 - e^-2x) / (1 + e^-2x), in (-1, 1)
    "relu": jax.nn.relu,  # max(x, 0)
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, SLOPE),  # x, or SLOPE x below 0
    "softmax": jax.nn.softmax,  # e^x / sum(e^x) along the last axis
}


def _softmax_derivative(x: jax.Array) -> jax.Array:
    p = jax.nn.softmax(x)
    return jnp.diag(p) - jnp.outer(p, p)


# f'(x) at each x; softmax's is the matrix d p_i / d x_j = p_i (1[i = j] - p_j), (n,) -> (n, n).
# At x = 0 the ReLU has no derivative: JAX and TensorFlow take 0 for it, the course's formula 1.
DERIVATIVES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "sigmoid": lambda x: jax.nn.sigmoid(x) * jax.nn.sigmoid(-x),
    "tanh": lambda x: 1 - jnp.square(jnp.tanh(x)),
    "relu": lambda x: jnp.where(x > 0, 1.0, 0.0),
    "leaky_relu": lambda x: jnp.where(x >= 0, 1.0, SLOPE),
    "softmax": _softmax_derivative,
}
