"""experiments/recurrent_step.py: the document's digits, and the same from the recurrent layer."""

import re

import jax.numpy as jnp
import numpy as np

from experiments import recurrent_step
from jaxnets import nn


def test_the_digits_of_the_document(capsys):
    measured = recurrent_step.main()
    assert measured == {
        "before tanh": [-1.8, 1.1, 0.9],
        "state": [-0.9, 0.8, 0.7],
        "before softmax": [-0.7, -0.5, 3.3, 0.0, -0.7],
        "probabilities": [0.02, 0.02, 0.91, 0.03, 0.02],
        "answer": "c",
        "state after b": [-0.9, 0.2, 0.2],
        "state after c": [0.8, 1.0, 0.8],
        "state after d": [0.6, 0.5, -1.0],
        "state after e": [-1.0, -1.0, 0.8],
        "probabilities after e": [0.71, 0.14, 0.1, 0.05, 0.0],
        "answer after e": "a",
    }
    rows = [re.split(r" {2,}", line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert all(row[1] == row[2] for row in rows)  # measured beside documented


def test_the_layer_takes_the_same_step():
    """Of w_xh the one-hot b takes one row, and of w_hh an empty memory nothing: the rest may be anything."""
    kernel = np.random.default_rng(0).normal(size=(5, 3))
    kernel[1] = recurrent_step.X_WXH
    params = {"kernel": kernel, "recurrent_kernel": np.full((3, 3), 7.0), "bias": recurrent_step.BH}
    b = jnp.eye(5)[1].reshape(1, 1, 5)
    state = nn.SimpleRNN(3).apply({"params": params}, b)
    np.testing.assert_allclose(np.round(state, 1), [[-0.9, 0.8, 0.7]], atol=1e-6)


def test_the_layer_takes_the_same_four_steps():
    four = recurrent_step.FOUR
    params = {"kernel": four["w_xh"], "recurrent_kernel": four["w_hh"], "bias": four["b_h"]}
    states = nn.SimpleRNN(3, return_sequences=True).apply({"params": params}, jnp.eye(5)[None, 1:])
    documented = [[-0.9, 0.2, 0.2], [0.8, 1.0, 0.8], [0.6, 0.5, -1.0], [-1.0, -1.0, 0.8]]
    np.testing.assert_allclose(np.round(states[0], 1), documented, atol=1e-6)
