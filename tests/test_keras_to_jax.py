"""Runs both sides of docs/keras_to_jax.md, from top to bottom, and compares what they print and learn."""

import ast
import re
from pathlib import Path

import jax
import numpy as np
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "keras_to_jax.md").read_text(encoding="utf-8")
PARTS = re.compile(r"^```python\n(?P<block>.*?)^```|^(?P<row>\| [^\n]*`[^\n]*\|)$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")


def run(lines, names):
    """Runs lines of Python; returns what the last one would print, if it is an expression."""
    value = None
    for line in lines:
        (statement,) = ast.parse(line).body
        if isinstance(statement, ast.Expr):
            value = eval(line, names)
        else:
            value = None
            exec(line, names)
    return str(value)


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """The names that the two sides end with, and the rows whose third column says something."""
    theirs, ours, printed = {}, {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        jax.config.update("jax_numpy_rank_promotion", "allow")  # Keras broadcasts biases without saying so
        for part in PARTS.finditer(PAGE):
            if block := part["block"]:
                exec(block, theirs if re.search(r"\b(keras|layers)\b", block) else ours)
                continue
            keras, jaxnets, *prints = [SPAN.findall(cell) for cell in part["row"].strip("|").split("|")]
            assert keras or jaxnets
            found = run(keras, theirs), run(jaxnets, ours)
            if prints and prints[0]:
                printed.append((jaxnets[-1], *found, prints[0][0]))
        yield theirs, ours, printed
        jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.mark.slow
def test_both_sides_print_the_third_column(sides):
    for line, theirs, ours, expected in sides[2]:
        assert (theirs, ours) == (expected, expected), line
    assert len(sides[2]) > 20


def test_weights_that_were_exchanged_are_the_same_function(sides):
    """Keras has ended with our weights, and our model with those that Keras had before."""
    theirs, ours, _ = sides
    x, network = ours["x"], ours["network"]
    variables = ours["from_keras"]("ours.weights.h5", network, (8, 8, 1))
    logits = network.apply(variables, x / np.float32(255))
    expected = theirs["network"].predict(x, verbose=0)
    np.testing.assert_allclose(ours["jax"].nn.softmax(logits), expected, rtol=1e-4, atol=1e-6)
    theirs["network"].load_weights("theirs.weights.h5")
    expected = theirs["network"].predict(x, verbose=0)
    np.testing.assert_allclose(ours["model"].predict(x), expected, rtol=1e-4, atol=1e-6)


def test_model_is_what_the_last_block_does(sides):
    _, ours, _ = sides
    model = ours["Model"](ours["network"], "adam")
    history = model.fit(ours["x"], ours["y"], epochs=2)
    ours["jax"].tree.map(np.testing.assert_array_equal, model.state, ours["state"])
    assert [one["loss"] for one in history] == [one["loss"] for one in ours["history"]]
    assert model.evaluate(ours["x"], ours["y"]) == ours["measured"]
    np.testing.assert_allclose(model.predict(ours["x"][:5]), ours["probabilities"], rtol=1e-5)
