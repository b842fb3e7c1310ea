"""Random masks: the bits of `jax.random`, in one loop that XLA vectorizes.

On CPUs, to compile faster, JAX keeps the rounds of its generator (Threefry, Salmon et al. 2011) in a loop
that passes through memory again and again.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.cpu.stored import stored

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)
ONE = np.uint32(0x3F800000)  # the bits of 1.0


def bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> jax.Array:
    """Returns `jax.random.bernoulli(key, probability, shape)`, computed once however often it is used."""
    size = math.prod(shape)

    def below(words: jax.Array) -> jax.Array:
        first, second = _threefry(words, jnp.uint32(0), lax.iota(jnp.uint32, size))
        mantissa = lax.shift_right_logical(first ^ second, np.uint32(9))
        return lax.bitcast_convert_type(mantissa | ONE, jnp.float32) - 1 < np.float32(probability)

    return stored(below, _words(key)).reshape(shape)


def is_threefry(key: jax.Array) -> bool:
    """Returns whether jax.random would draw 32 bits for each number from (0, its index), by Threefry."""
    by_place = getattr(jax.config, "jax_threefry_partitionable", True)
    return by_place and jnp.result_type(float) == jnp.float32 and jax.random.key_impl(key) == "threefry2x32"


def _words(key: jax.Array) -> jax.Array:
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key


def _threefry(words: jax.Array, left: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Applies the twenty rounds to two words of 32 bits."""
    keys = words[0], words[1], words[0] ^ words[1] ^ PARITY
    left, right = left + keys[0], right + keys[1]
    for group in range(5):
        for bits in ROTATIONS[group % 2]:
            left = left + right
            turned = lax.shift_left(right, np.uint32(bits)) | lax.shift_right_logical(
                right, np.uint32(32 - bits)
            )
            right = left ^ turned
        left, right = left + keys[(group + 1) % 3], right + keys[(group + 2) % 3] + np.uint32(group + 1)
    return left, right
