"""Muon as in the CIFAR-10 speed records: orthogonal steps, kernels of fixed length, few iterations."""

import math
from collections import defaultdict
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import GradientTransformation, ScalarOrSchedule

from jaxnets.optim.transforms import keeps_types

# The quintic a s + b s^3 + c s^5, steepest at 0 among those that keep singular values in about .5 ... 1.5.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: jax.Array, steps: int = 3, dtype: Any = None) -> jax.Array:
    """Moves the singular values of matrices towards 1 by a Newton-Schulz iteration, and keeps their vectors.

    Every step applies a polynomial to the singular values, which takes only matrix products. Three steps lift
    those above about 0.05 of the matrix's norm into 0.5 ... 1.5. Source: Keller Jordan, "Muon", 2024.

    Args:
        matrices: Matrices, (..., m, n).
        steps: Number of steps of the iteration.
        dtype: Dtype of the products. By default that of the matrices.

    Returns:
        The matrices, of the same shape and dtype.
    """
    a, b, c = QUINTIC
    x = matrices.astype(dtype or matrices.dtype)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x  # so that the products have the smaller size
    norm = jnp.linalg.norm(x.astype(jnp.float32), axis=(-2, -1), keepdims=True)
    x = (x / (norm + 1e-7)).astype(x.dtype)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).astype(matrices.dtype)


@keeps_types
def spherical_muon(
    learning_rate: ScalarOrSchedule, momentum: float = 0.6, steps: int = 3, dtype: Any = None
) -> GradientTransformation:
    """Muon on a sphere: v <- momentum v + g; w <- sqrt(out) w/|w| - lr orthogonal(g + momentum v).

    A kernel (..., out) counts as one matrix (all but its last axis, out); equal sizes are iterated together.
    It is meant for kernels before a normalization: their length has no effect there, so it is reset in every
    step, and the learning rate alone decides how far they turn. (`muon` keeps lengths and scales the step.)

    Args:
        learning_rate: A number or a schedule.
        momentum: Fraction of the velocity that is kept; the step looks ahead by it (Nesterov).
        steps: Number of steps of the Newton-Schulz iteration.
        dtype: Dtype of its products; bfloat16 is enough.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> kernel = jnp.eye(2)
        >>> optimizer = spherical_muon(0.1)
        >>> grads = jnp.array([[0.0, 3.0], [0.0, 0.0]])
        >>> updates, state = optimizer.update(grads, optimizer.init(kernel), kernel)
        >>> print(optax.apply_updates(kernel, updates).round(2))
        [[ 1.   -0.07]
         [ 0.    1.  ]]
    """

    def direction(grads):
        leaves, tree = jax.tree.flatten(grads)
        of_shape = defaultdict(list)
        for number, leaf in enumerate(leaves):
            of_shape[(leaf.size // leaf.shape[-1], leaf.shape[-1])].append(number)
        done = list(leaves)
        for shape, numbers in of_shape.items():
            stack = jnp.stack([leaves[number].reshape(shape) for number in numbers])
            for number, matrix in zip(numbers, orthogonalize(stack, steps, dtype), strict=True):
                done[number] = matrix.reshape(leaves[number].shape)
        return jax.tree.unflatten(tree, done)

    def turn(grads, params):
        def move(w, o):
            length = jnp.linalg.norm(w.ravel())  # 0 for a kernel of zeros, which stays zero
            return w * (math.sqrt(w.shape[-1]) / jnp.where(length > 0, length, 1) - 1) + o

        return jax.tree.map(move, params, grads)

    return optax.chain(
        optax.trace(momentum, nesterov=True),
        optax.stateless(lambda grads, params: direction(grads)),
        optax.scale_by_learning_rate(learning_rate),
        optax.stateless(turn),
    )
