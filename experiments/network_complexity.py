"""What networks cost: parameters, multiply-adds, output sizes, receptive fields (A5).

    python experiments/network_complexity.py

Documented: a 3-4-2 network has 26 parameters and 20 multiply-adds; two 3x3 convolutions have the receptive
field of one 5x5, with 18 weights instead of 25, and compute less on images wider than 10.
"""

from jaxnets.cli import commandline

from jaxnets import nn, report
from jaxnets.course.complexity import (
    conv_multiply_adds,
    conv_parameters,
    dense_multiply_adds,
    dense_parameters,
    output_size,
    receptive_field,
)
from jaxnets.summary import summarize

from typing import Any

from flax import linen

DOCUMENTED = {
    "parameters of 3-4-2": 26,
    "multiply-adds of 3-4-2": 20,
    "receptive field of two 3x3": 5,
    "receptive field of one 5x5": 5,
    "weights of two 3x3": 18,
    "weights of one 5x5": 25,
    "two 3x3 compute less than one 5x5 on images wider than": 10,
    "5x5 image, 3x3 same": 5,
    "5x5 image, 3x3 valid": 3,
}


def stacked(kernels: list[int], size: int) -> int:
    """The multiply-adds of one-channel valid convolutions, one after another."""
    total = 0
    for kernel in kernels:
        size = output_size(size, kernel)
        total += conv_multiply_adds(kernel, 1, 1, size)
    return total


def main() -> dict[str, Any]:
    """Count by formula, and count again on a network."""
    layers = [(3, 4), (4, 2)]
    cheaper = [size for size in range(6, 100) if stacked([3, 3], size) < stacked([5], size)]
    network = summarize(linen.Sequential([nn.Dense(4), nn.Dense(2)]), (3,))
    measured = {
        "parameters of 3-4-2": sum(dense_parameters(*layer) for layer in layers),
        "multiply-adds of 3-4-2": sum(dense_multiply_adds(*layer) for layer in layers),
        "receptive field of two 3x3": receptive_field([(3, 1), (3, 1)]),
        "receptive field of one 5x5": receptive_field([(5, 1)]),
        "weights of two 3x3": 2 * conv_parameters(3, 1, 1, bias=False),
        "weights of one 5x5": conv_parameters(5, 1, 1, bias=False),
        "two 3x3 compute less than one 5x5 on images wider than": cheaper[0] - 1,
        "5x5 image, 3x3 same": output_size(5, 3, padding="same"),
        "5x5 image, 3x3 valid": output_size(5, 3, padding="valid"),
        "parameters counted": network.parameters,
        "multiply-adds counted": network.multiply_adds,
    }
    report.beside(DOCUMENTED, measured)
    print(network.to_text())
    return measured


if __name__ == "__main__":
    commandline.run(main)
