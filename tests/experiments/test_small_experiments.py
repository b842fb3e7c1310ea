"""The experiments that take no training, or next to none: the documented figures, to float32's rounding."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import (
    activations,
    average_precision,
    convolution_by_hand,
    cross_entropy,
    forward_pass,
    gradient_descent,
    network_complexity,
    numpy_cnn,
    transposed_convolution,
)

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

CONSTANT = """\
0 2.600000 36.000000
1 1.160000 12.959999
2 0.296000 4.665599
3 -0.222400 1.679616
9 -0.963720 0.003656
17 -0.999391 0.000001
30 -0.999999 0.000000
31 -1.000000 0.000000
39 -1.000000 0.000000
"""
DECAYING = """\
0 2.600000 36.000000 0.200000
1 1.174400 12.959999 0.198000
2 0.321948 4.728015 0.196020
3 -0.191126 1.747547 0.194060
9 -0.951691 0.005795 0.182703
17 -0.998449 0.000005 0.168589
38 -0.999999 0.000000 0.136511
39 -0.999999 0.000000 0.135146
"""


ROUNDING = 2**-24  # of a float32, as a part of it


@pytest.mark.parametrize(
    "name, decay, table", [("constant rate", 1.0, CONSTANT), ("decaying rate", 0.99, DECAYING)]
)
def test_gradient_descent_gives_the_documented_lines(tmp_path, name, decay, table):
    """In closed form, w + 1 shrinks by 1 - 2 rate a step: the document's lines and ours are its roundings."""
    run = gradient_descent.main(workdir=tmp_path)[name]
    rate = 0.2 * decay ** np.arange(40)
    above = 6 * np.cumprod([1, *(1 - 2 * rate)])  # w + 1, before the first step and after each
    exact = {"w": above[1:] - 1, "loss": above[:-1] ** 2, "rate": rate}
    # The first step rounds w + 1, the rate (four times, a power) and its product with 2 (w + 1), below 6,
    # and the difference: 17 parts of 2^-24. A step leaves less than three quarters of what was wrong before.
    off = 24 * ROUNDING
    far = {"w": off, "loss": 2 * above[:-1] * off + 2 * ROUNDING * exact["loss"], "rate": 4 * ROUNDING}
    for key, values in exact.items():
        assert np.all(np.abs(run[key] - values) <= far[key])
    for line in table.splitlines():
        step, *figures = line.split()
        for key, figure in zip(exact, figures, strict=False):
            most = np.broadcast_to(far[key], 40)[int(step)] + 0.5e-6  # it prints six decimals
            assert abs(float(figure) - exact[key][int(step)]) <= most
    assert (tmp_path / "descent.png").stat().st_size > 5_000


def test_forward_pass_to_the_last_digits():
    """The document's figures and ours are as near to the exact ones as rounding lets them be."""
    x, w, b = (np.float64(array) for array in (forward_pass.X, forward_pass.W, forward_pass.B))
    exact = (x @ w + b)[0]
    # Four products, as many sums and the printing; no sum on the way is larger than that of the sizes.
    far = 9 * ROUNDING * (abs(x) @ abs(w) + abs(b))[0]
    shares = np.exp(exact) / np.exp(exact).sum()
    for figures in (forward_pass.main(), forward_pass.DOCUMENTED):
        assert np.all(np.abs(np.asarray(figures["y"]) - exact) <= far)
        found = np.asarray(figures["probabilities"])
        np.testing.assert_allclose(found, shares, rtol=2 * far.max() + 8 * ROUNDING)


def test_network_complexity():
    measured = network_complexity.main()
    assert measured.items() >= network_complexity.DOCUMENTED.items()
    assert (measured["parameters counted"], measured["multiply-adds counted"]) == (26, 20)


def test_activations(tmp_path):
    measured = activations.main(workdir=tmp_path)
    for name, figure in activations.DOCUMENTED.items():
        np.testing.assert_allclose(measured[name], figure, rtol=1e-6)
    assert max(measured["errors"].values()) < 2e-7
    assert (tmp_path / "activations.png").exists()


def test_cross_entropy_to_every_digit():
    measured = cross_entropy.main()
    for name, figure in (("(1, 0) against (0.6, 0.4)", 0.5108256), ("(1, 0) against (0.8, 0.2)", 0.22314353)):
        # the probability, their sum and the quotient are rounded, and its logarithm by some units
        assert measured[name] == pytest.approx(figure, rel=0, abs=8 * ROUNDING)
    printed = "[1.68795487e-04 1.03475622e-03 6.58839038e-02 2.58349207e+00 5.49852354e-02]"
    for way in ("softmax, then loss", "fused"):
        assert measured[way].dtype == np.float64
        assert np.array2string(measured[way], max_line_width=100) == printed


def test_convolutions_by_hand():
    measured = convolution_by_hand.main()
    expected = [[6, 5, -2, 1, 2], [3, 0, 3, 2, -2], [4, 2, -1, 0, 0], [2, 1, 2, -1, -3], [1, 1, 1, 3, 1]]
    np.testing.assert_array_equal(measured["output"], expected)
    assert measured["sobel"][0, 0] == 29
    smaller = [measured[name] for name in ("one channel", "two channels", "with a bias")]
    assert smaller == [19, 56, 1]
    assert measured["parameters of a kernel"] == [10, 28, 76]
    assert measured["1x1 convolution less dense layer"] == 0


def test_a_convolution_is_the_correlation_with_the_flipped_kernel():
    """NumPy's own convolution of a row is the oracle of the definition."""
    row, kernel = [[3, 1, 4, 1, 5]] * 3, [[2, 7, 1], [0, 0, 0], [0, 0, 0]]
    one = convolution_by_hand.convolve(row, kernel)
    np.testing.assert_array_equal(one[0], np.convolve(row[0], kernel[0], "valid"))
    flipped = [line[::-1] for line in kernel[::-1]]
    np.testing.assert_array_equal(one, convolution_by_hand.slide(row, flipped))


def test_numpy_cnn_equals_jax_and_knows_nothing_yet():
    measured = numpy_cnn.main(count=50)
    assert measured["shapes"] == "26x26x8, 13x13x8, 10"
    assert measured["loss"] == pytest.approx(2.30, abs=0.02)
    assert measured["loss"] == pytest.approx(measured["loss in JAX"], rel=1e-6)
    assert measured["accuracy"] == pytest.approx(measured["accuracy in JAX"])
    assert measured["largest difference"] < 1e-6


def test_average_precision(tmp_path):
    measured = average_precision.main(workdir=tmp_path)
    assert f"{measured['mean average precision']:.4f}" == "0.7136"
    assert (tmp_path / "precision_recall.png").exists()


def test_transposed_convolution(tmp_path):
    measured = transposed_convolution.main(workdir=tmp_path)
    assert measured["output"] == "(2, 449, 449, 5)"
    assert measured["upsampled"] == "(2, 451, 451, 3)"
    assert measured["largest difference"] < 1e-6
    assert (tmp_path / "enlarged.png").exists()


def test_an_experiment_runs_from_the_command_line(tmp_path):
    script = [sys.executable, str(EXPERIMENTS / "gradient_descent.py"), "--workdir", str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert "0.135146" in done.stdout
    assert (tmp_path / "descent.png").exists()


PARTS = {
    "__init__",
    "arithmetic",
    "catalogue",
    "index_page",
    "index_table",
    "facts",
    "results_page",
}  # the package, and parts of reproduce.py


@pytest.mark.parametrize("script", sorted({path.stem for path in EXPERIMENTS.glob("*.py")} - PARTS))
def test_the_docstring_gives_command_and_documented_result(script):
    text = importlib.import_module(f"experiments.{script}").__doc__
    assert f"python experiments/{script}.py" in text
    # No document has a figure for any network on any data, nor for a loop written out.
    assert script in ("train", "own_loop") or "documented" in text.lower()
