"""One step of a recurrent network by hand, b in and c out, then four in a row, b c d e in and a out (D1).

    python experiments/recurrent_step.py

Three memory units, empty at first. Documented: tanh([-1.8, 1.1, 0.9]) = [-0.9, 0.8, 0.7], and the softmax of
the output [0.02, 0.02, 0.91, 0.03, 0.02], which is c. In four steps with the same matrices the state becomes
[-0.9, 0.2, 0.2], [0.8, 1.0, 0.8], [0.6, 0.5, -1.0] and [-1.0, -1.0, 0.8], and the output after the last of
them [0.71, 0.14, 0.10, 0.05, 0.00], which is a.

The document shows its matrices only in pictures. What the one step needs of them, their products with the
one-hot b and with the new state, is in its text; for the four steps, `FOUR` has matrices with one decimal
that give all the documented figures, found from these.
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
    "state after b": [-0.9, 0.2, 0.2],
    "state after c": [0.8, 1.0, 0.8],
    "state after d": [0.6, 0.5, -1.0],
    "state after e": [-1.0, -1.0, 0.8],
    "probabilities after e": [0.71, 0.14, 0.10, 0.05, 0.00],
    "answer after e": "a",
}

X_WXH = jnp.array([-2.3, 0.8, 1.1])  # x_t w_xh: the row of w_xh that belongs to b
H_WHH = jnp.zeros(3)  # h_{t-1} w_hh: the memory is empty
BH = jnp.array([0.5, 0.3, -0.2])
H_WHY = jnp.array([-0.7, -0.6, 2.9, 0.7, -0.8])  # h_t w_hy
BY = jnp.array([0.0, 0.1, 0.4, -0.7, 0.1])

LETTERS = "abcde"
FOUR = {
    "w_xh": jnp.array(
        [[0.0, 0.0, 0.0], [-1.7, 0.2, 0.3], [-0.2, 1.1, 0.5], [0.1, 0.2, -0.8], [-2.0, -0.9, 1.6]]
    ),
    "w_hh": jnp.array([[-0.9, -0.9, -0.9], [0.9, 0.3, -0.3], [0.3, 0.9, -0.3]]),
    "b_h": jnp.array([0.2, 0.0, -0.1]),
    "w_hy": jnp.array([[-1.0, 0.1, 0.3, 0.1, 1.2], [-0.4, 0.2, 0.1, 0.0, 1.0], [0.2, 0.1, -0.6, -0.4, -2.9]]),
    "b_y": BY,
}


def rounded(values: jax.Array, digits: int) -> list[float]:
    """As the document prints them."""
    return np.round(np.asarray(values, np.float64), digits).tolist()


def four_steps(text: str) -> dict[str, Any]:
    """The state after every letter, and the output after the last one."""
    state, measured = jnp.zeros(3), {}
    for letter in text:
        x = jax.nn.one_hot(LETTERS.index(letter), 5)
        state = jnp.tanh(x @ FOUR["w_xh"] + state @ FOUR["w_hh"] + FOUR["b_h"])
        measured[f"state after {letter}"] = rounded(state, 1)
    probabilities = jax.nn.softmax(state @ FOUR["w_hy"] + FOUR["b_y"])
    measured[f"probabilities after {letter}"] = rounded(probabilities, 2)
    return measured | {f"answer after {letter}": LETTERS[int(jnp.argmax(probabilities))]}


def main() -> dict[str, Any]:
    """Update the memory, then compute the output from it; and the same four times."""
    before = X_WXH + H_WHH + BH
    state = jnp.tanh(before)
    output = H_WHY + BY
    probabilities = jax.nn.softmax(output)
    measured = {
        "before tanh": rounded(before, 1),
        "state": rounded(state, 1),
        "before softmax": rounded(output, 1),
        "probabilities": rounded(probabilities, 2),
        "answer": LETTERS[int(jnp.argmax(probabilities))],
        **four_steps("bcde"),
    }
    report.beside(DOCUMENTED, measured)
    return measured


if __name__ == "__main__":
    commandline.run(main)
