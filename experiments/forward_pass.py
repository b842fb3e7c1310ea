"""A 4-3 network by hand: one iris in, three scores and their probabilities out (A4).

    python experiments/forward_pass.py

Documented: y = [1.0099998, 2.008, -0.6600003], probabilities [0.2563381, 0.69540703, 0.04825489].
The order of a processor's additions shows in the eighth digit.
"""

from jaxnets.cli import commandline

from jaxnets import report

from typing import Any

import jax
import jax.numpy as jnp

DOCUMENTED = {"y": [1.0099998, 2.008, -0.6600003], "probabilities": [0.2563381, 0.69540703, 0.04825489]}

X = jnp.array([[5.8, 4.0, 1.2, 0.2]])  # sepal length and width, petal length and width in cm
W = jnp.array([[-0.8, -0.34, -1.4], [0.6, 1.3, 0.25], [0.5, 1.45, 0.9], [0.65, 0.7, -1.2]])
B = jnp.array([2.52, -3.1, 5.62])


def main() -> dict[str, Any]:
    """Multiply, add, normalize; not under jit, which would fuse them and change the eighth digit."""
    y = X @ W + B[None]
    measured = {"y": y[0], "probabilities": jax.nn.softmax(y[0])}
    report.beside(DOCUMENTED, measured)
    return measured


if __name__ == "__main__":
    commandline.run(main)
