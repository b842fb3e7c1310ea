"""Correlations that can be followed by hand: a 7x7 image, a Sobel filter on 4x4, and smaller ones (E3, E7).

    python experiments/convolution_by_hand.py

Documented: the 5x5 output below, 29 at the top left of the Sobel output, and three results of the course's
chapter on convolution: 19 (one channel), 56 (two) and 1 (with a bias). A kernel of 3x3x1, 3x3x3 and 5x5x3 has
10, 28 and 76 parameters. A convolution is the correlation with the kernel that is flipped in both directions,
and a 1x1 convolution is a dense layer for every pixel: both are compared, and differ by 0.
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

# The course's, as far as its text and its sums show them: 0 ... 8 and 0 ... 3; 1 ... 9 and 1 ... 4 beside it
FIRST, FIRST_KERNEL = [[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[0, 1], [2, 3]]
SECOND, SECOND_KERNEL = [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 2], [3, 4]]
WINDOW, WINDOW_KERNEL, WINDOW_BIAS = [[1, 0, 2], [5, 4, 2], [3, 4, 5]], [[-1, 0, 1]] * 3, 1

DOCUMENTED = {f"row {i}": row for i, row in enumerate(OUTPUT)} | {
    "sobel, top left": 29,
    "one channel": 19,
    "two channels": 56,
    "with a bias": 1,
    "parameters of a kernel": [10, 28, 76],
    "convolution less correlation, flipped": 0,
    "1x1 convolution less dense layer": 0,
}


def slide(image: list[list[int]], kernel: list[list[int]]) -> jax.Array:
    """One-channel correlation without padding: (h, w) and (k, k) -> (h-k+1, w-k+1)."""
    x, w = jnp.array(image, jnp.float32), jnp.array(kernel, jnp.float32)
    return nn.correlate(x[None, :, :, None], w[:, :, None, None])[0, :, :, 0]


def convolve(image: list[list[int]], kernel: list[list[int]]) -> np.ndarray:
    """A convolution by its definition, the sum of kernel[a, b] image[i - a, j - b], where it is whole."""
    x, w = np.array(image), np.array(kernel)
    height, width = x.shape[0] - len(w) + 1, x.shape[1] - len(w) + 1
    places = [(a, b) for a in range(len(w)) for b in range(len(w))]
    return sum(w[a, b] * x[len(w) - 1 - a :, len(w) - 1 - b :][:height, :width] for a, b in places)


def parameters(side: int, channels: int) -> int:
    """Of one kernel, with its bias."""
    layer = nn.Conv(1, side).init(jax.random.key(0), jnp.zeros((1, side, side, channels)))
    return sum(leaf.size for leaf in jax.tree.leaves(layer))


def beside_dense() -> float:
    """The largest difference of a 1x1 convolution, 3 to 2 channels, from a dense layer over the pixels."""
    x = jnp.arange(27.0).reshape(1, 3, 3, 3)
    params = {"kernel": jnp.array([[1.0, 0.0], [2.0, -1.0], [-3.0, 4.0]]), "bias": jnp.array([0.0, 1.0])}
    dense: Any = nn.Dense(2).apply({"params": params}, x.reshape(9, 3))
    convolution: Any = nn.Conv(2, 1).apply({"params": {**params, "kernel": params["kernel"][None, None]}}, x)
    return float(jnp.max(jnp.abs(convolution.reshape(9, 2) - dense)))


def main() -> dict[str, Any]:
    """Slide the kernels."""
    output, sobel = np.asarray(slide(IMAGE, KERNEL) + BIAS), np.asarray(slide(SMALL, VERTICAL_SOBEL))
    measured = {f"row {i}": row.astype(int) for i, row in enumerate(output)}
    one, two = slide(FIRST, FIRST_KERNEL), slide(SECOND, SECOND_KERNEL)
    flipped = [line[::-1] for line in KERNEL[::-1]]
    measured |= {
        "sobel, top left": int(sobel[0, 0]),
        "one channel": int(one[0, 0]),
        "two channels": int((two + one)[0, 0]),
        "with a bias": int(slide(WINDOW, WINDOW_KERNEL)[0, 0]) + WINDOW_BIAS,
        "parameters of a kernel": [parameters(*size) for size in ((3, 1), (3, 3), (5, 3))],
        "convolution less correlation, flipped": int(
            np.abs(convolve(IMAGE, KERNEL) - np.asarray(slide(IMAGE, flipped))).max()
        ),
        "1x1 convolution less dense layer": beside_dense(),
    }
    report.beside(DOCUMENTED, measured)
    return measured | {"output": output, "sobel": sobel}


if __name__ == "__main__":
    commandline.run(main)
