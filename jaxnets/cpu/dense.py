"""Products of a small batch with a large matrix."""

import math
from functools import partial

import jax
import jax.numpy as jnp

LARGE = 2**22  # bytes of a matrix that does not stay in a core's cache from one use to the next
BLOCK = 2**20  # bytes that do
MANY = 128  # rows of a batch that outweigh reading the matrix


def multiply(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns x (..., in) @ kernel (in, features), float32, for a kernel with several `blocks`.

    XLA copies a matrix before the product, a few numbers of every row at a time, which are far apart in
    memory. Here a large matrix is split into blocks of rows.
    """
    y = _multiply(x.reshape(-1, x.shape[-1]), kernel, blocks(x, kernel))
    return y.reshape(*x.shape[:-1], -1)


def blocks(x: jax.Array, kernel: jax.Array) -> int:
    """Returns the number of equal blocks of rows to split the kernel into; 1 if splitting does not help."""
    size = kernel.size * kernel.dtype.itemsize
    if size < LARGE or not 0 < math.prod(x.shape[:-1]) < MANY:
        return 1
    least = math.ceil(size / BLOCK)
    return next((count for count in range(least, 4 * least) if len(kernel) % count == 0), 1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _multiply(x: jax.Array, kernel: jax.Array, count: int) -> jax.Array:
    return jnp.einsum("bki,kif->kbf", _columns(x, count), _rows(kernel, count)).sum(0)


def _forward(x, kernel, count):
    return _multiply(x, kernel, count), (x, kernel)


def _backward(count, saved, dy):
    x, kernel = saved
    dx = jnp.einsum("bf,kif->kbi", dy, _rows(kernel, count)).transpose(1, 0, 2).reshape(x.shape)
    return dx, jnp.einsum("bki,bf->kif", _columns(x, count), dy).reshape(kernel.shape)


_multiply.defvjp(_forward, _backward)


def _columns(x: jax.Array, count: int) -> jax.Array:
    return x.reshape(len(x), count, -1)


def _rows(kernel: jax.Array, count: int) -> jax.Array:
    return kernel.reshape(count, -1, kernel.shape[-1])
