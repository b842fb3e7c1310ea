"""Tensors and gradients as the course introduces them, with each result beside the course's (A3).

    python experiments/tensor_basics.py

docs/tf_to_jax.md has the whole list, call by call, and a test runs it; these are the calls that compute
something. Documented: what the course prints (`DOCUMENTED`).
"""

from jaxnets.cli import commandline

from jaxnets import report

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {
    "mean of [[1 2 3] [2 2 3]]": 2,  # TensorFlow's mean of whole numbers is one
    "mean of them as floats": 2.1666667,
    "sum along axis 1": [6, 7],
    "gradient of w^2 at 3": 6.0,
    "one_hot of [1 0 2]": [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
    "softmax of [1.01 2.01 -0.66]": [0.25598174, 0.69583046, 0.0481878],
    "4 after assign_sub(1)": 3,
    "argmax along axis 0": [3, 3, 1],
    "argmax along axis 1": [2, 2, 0, 0],
    "greater of [1 2 3 1 1] and [0 1 3 4 5]": [1, 2, 3, 4, 5],
    "[[1 1] [1 1] [1 1]] times 3s": [[6.0, 6.0, 6.0], [6.0, 6.0, 6.0], [6.0, 6.0, 6.0]],
    "grid of mgrid, as pairs": [
        [1, 2.0],
        [1, 2.5],
        [1, 3.0],
        [1, 3.5],
        [2, 2.0],
        [2, 2.5],
        [2, 3.0],
        [2, 3.5],
    ],
}


def main() -> dict[str, Any]:
    """Compute the results with JAX, and the last one with NumPy as the course does."""
    table = jnp.array([[1, 2, 3], [2, 2, 3]])
    test = jnp.array([[1, 2, 3], [2, 3, 4], [5, 4, 3], [8, 7, 2]])
    a, b = jnp.array([1, 2, 3, 1, 1]), jnp.array([0, 1, 3, 4, 5])
    x, y = np.mgrid[1:3:1, 2:4:0.5]
    values = [
        jnp.sum(table) // table.size,
        jnp.mean(table.astype(jnp.float32)),
        jnp.sum(table, axis=1),
        jax.grad(jnp.square)(3.0),
        jax.nn.one_hot(jnp.array([1, 0, 2]), 3),
        jax.nn.softmax(jnp.array([1.01, 2.01, -0.66])),
        jnp.array(4) - 1,
        jnp.argmax(test, axis=0),
        jnp.argmax(test, axis=1),
        jnp.where(a > b, a, b),
        jnp.ones([3, 2]) @ jnp.full([2, 3], 3.0),
        np.c_[x.ravel(), y.ravel()],
    ]
    measured = dict(zip(DOCUMENTED, map(np.asarray, values), strict=True))
    report.beside(DOCUMENTED, measured)
    return measured


if __name__ == "__main__":
    commandline.run(main)
