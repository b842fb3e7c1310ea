"""Two correlations that can be followed by hand: a 7x7 image, and a Sobel filter on 4x4 (E3, E7).

    python experiments/convolution_by_hand.py

Documented: the 5x5 output below, and 29 at the top left of the Sobel output.
"""

from jaxnets.cli import commandline

from jaxnets import nn, report

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

IMAGE = [
    [0, 0, 0, 0, 0, 0, 0],
    [0, 1, 0, 1, 2, 1, 0],
    [0, 0, 2, 2, 0, 1, 0],
    [0, 1, 1, 0, 2, 1, 0],
    [0, 0, 2, 1, 1, 0, 0],
    [0, 2, 1, 1, 2, 0, 0],
    [0, 0, 0, 0, 0, 0, 0],
]
KERNEL, BIAS = [[0, 0, -1], [0, 1, 0], [-2, 0, 2]], 1
OUTPUT = [[6, 5, -2, 1, 2], [3, 0, 3, 2, -2], [4, 2, -1, 0, 0], [2, 1, 2, -1, -3], [1, 1, 1, 3, 1]]

# The text has the top left 3x3 of this image, its picture the rest (victorzhou.com, introduction to CNNs).
SMALL = [[0, 50, 0, 29], [0, 80, 31, 2], [33, 90, 0, 75], [0, 9, 0, 95]]
VERTICAL_SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]

DOCUMENTED = {f"row {i}": row for i, row in enumerate(OUTPUT)} | {"sobel, top left": 29}


def slide(image: list[list[int]], kernel: list[list[int]]) -> jax.Array:
    """One-channel correlation without padding: (h, w) and (k, k) -> (h-k+1, w-k+1)."""
    x, w = jnp.array(image, jnp.float32), jnp.array(kernel, jnp.float32)
    return nn.correlate(x[None, :, :, None], w[:, :, None, None])[0, :, :, 0]


def main() -> dict[str, Any]:
    """Slide both kernels."""
    output, sobel = np.asarray(slide(IMAGE, KERNEL) + BIAS), np.asarray(slide(SMALL, VERTICAL_SOBEL))
    measured = {f"row {i}": row.astype(int) for i, row in enumerate(output)}
    measured |= {"sobel, top left": int(sobel[0, 0])}
    report.beside(DOCUMENTED, measured)
    return measured | {"output": output, "sobel": sobel}


if __name__ == "__main__":
    commandline.run(main)
