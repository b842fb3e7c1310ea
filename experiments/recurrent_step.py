"""One step of a recurrent network by hand: the letter b goes in, the letter c comes out (D1).

    python experiments/recurrent_step.py

Three memory units, empty at first. Documented: tanh([-1.8, 1.1, 0.9]) = [-0.9, 0.8, 0.7], and the softmax of
the output [0.02, 0.02, 0.91, 0.03, 0.02], which is c.

The document shows its matrices w_xh and w_hy only in pictures; what the step needs of them, their products
with the one-hot b and with the new state, is in its text.
"""

from jaxnets.cli import commandline

from jaxnets import report

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {
    "before tanh": [-1.8, 1.1, 0.9],
    "state": [-0.9, 0.8, 0.7],
    "before softmax": [-0.7, -0.5, 3.3, 0.0, -0.7],
    "probabilities": [0.02, 0.02, 0.91, 0.03, 0.02],
    "answer": "c",
}

X_WXH = jnp.array([-2.3, 0.8, 1.1])  # x_t w_xh: the row of w_xh that belongs to b
H_WHH = jnp.zeros(3)  # h_{t-1} w_hh: the memory is empty
BH = jnp.array([0.5, 0.3, -0.2])
H_WHY = jnp.array([-0.7, -0.6, 2.9, 0.7, -0.8])  # h_t w_hy
BY = jnp.array([0.0, 0.1, 0.4, -0.7, 0.1])


def rounded(values: jax.Array, digits: int) -> list[float]:
    """As the document prints them."""
    return np.round(np.asarray(values, np.float64), digits).tolist()


def main() -> dict[str, Any]:
    """Update the memory, then compute the output from it."""
    before = X_WXH + H_WHH + BH
    state = jnp.tanh(before)
    output = H_WHY + BY
    probabilities = jax.nn.softmax(output)
    measured = {
        "before tanh": rounded(before, 1),
        "state": rounded(state, 1),
        "before softmax": rounded(output, 1),
        "probabilities": rounded(probabilities, 2),
        "answer": "abcde"[int(jnp.argmax(probabilities))],
    }
    report.beside(DOCUMENTED, measured)
    return measured


if __name__ == "__main__":
    commandline.run(main)
