"""Cross-entropy: which of two guesses is better, and softmax and loss separate or fused (A9).

    python experiments/cross_entropy.py

Documented: 0.5108256 for (0.6, 0.4) and 0.22314353 for (0.8, 0.2) where (1, 0) is right; on five rows of
logits both ways give [1.68795487e-04 1.03475622e-03 6.58839038e-02 2.58349207e+00 5.49852354e-02] in float64.
"""

from jaxnets.cli import commandline

from jaxnets import losses, report

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ROWS = [1.68795487e-04, 1.03475622e-03, 6.58839038e-02, 2.58349207e00, 5.49852354e-02]
DOCUMENTED = {
    "(1, 0) against (0.6, 0.4)": 0.5108256,
    "(1, 0) against (0.8, 0.2)": 0.22314353,
    "softmax, then loss": ROWS,
    "fused": ROWS,
}

TARGETS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
LOGITS = [[12, 3, 2], [3, 10, 1], [1, 2, 5], [4, 6.5, 1.2], [3, 6, 1]]


def main() -> dict[str, Any]:
    """Compute the four losses of the document, the rows in float64 as in the document."""
    from_probabilities = losses.categorical_crossentropy_from_probabilities
    guesses = jnp.array([[0.6, 0.4], [0.8, 0.2]])
    first, second = from_probabilities(guesses, jnp.array([[1, 0], [1, 0]]))
    with jax.enable_x64(True):
        logits, targets = jnp.array(LOGITS), jnp.array(TARGETS)
        apart = np.asarray(from_probabilities(jax.nn.softmax(logits), targets))
        fused = np.asarray(losses.categorical_crossentropy(logits, targets))
    values = first, second, apart, fused
    measured = dict(zip(DOCUMENTED, values, strict=True))
    report.beside(DOCUMENTED, measured)
    return measured


if __name__ == "__main__":
    commandline.run(main)
