"""Keras's initializers by name: one table, every entry a function ``(key, shape, dtype) -> array``.

Fans follow Keras: the last axis counts outputs, the one before it inputs, and all axes in front of these are
the receptive field. A depthwise kernel ``(H, W, C, M)`` thus has fan-in ``H*W*C``, and a recurrent kernel is
drawn over its whole fused matrix ``(inputs, gates*units)``.
"""

from collections.abc import Callable

import jax
from jax.nn import initializers as jax_init

from jaxnets.errors import lookup

Initializer = Callable[..., jax.Array]

INITIALIZERS: dict[str, Initializer] = {
    "zeros": jax_init.zeros,
    "ones": jax_init.ones,
    "glorot_uniform": jax_init.glorot_uniform(),
    "glorot_normal": jax_init.glorot_normal(),
    "he_uniform": jax_init.he_uniform(),
    "he_normal": jax_init.he_normal(),
    "lecun_uniform": jax_init.lecun_uniform(),
    "lecun_normal": jax_init.lecun_normal(),
    "orthogonal": jax_init.orthogonal(),
    "random_normal": jax_init.normal(0.05),
    "truncated_normal": jax_init.truncated_normal(0.05),  # cut at two deviations, not rescaled: Keras's rule
    "random_uniform": lambda key, shape, dtype=float: jax.random.uniform(key, shape, dtype, -0.05, 0.05),
}


def get_initializer(init: str | Initializer) -> Initializer:
    """Returns the function with this name in `INITIALIZERS`; a function is returned as it is.

    Raises:
      UserError: If the name is not in the table.
    """
    return lookup(INITIALIZERS, init, "initializer") if isinstance(init, str) else init
