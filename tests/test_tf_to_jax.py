"""Runs every JAX line of docs/tf_to_jax.md as a doctest against the output printed beside it."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "tf_to_jax.md").read_text()
IMPORTS = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
SPAN = re.compile(r"`([^`]+)`")


class Figures(doctest.OutputChecker):
    """White space is free; floats may differ in the last digit of float32."""

    def check_output(self, want, got, optionflags):
        if super().check_output(want, got, optionflags | doctest.NORMALIZE_WHITESPACE):
            return True
        words = re.compile(r"[^\s\[\](),]+")
        try:
            pairs = [np.array(words.findall(text), float) for text in (want, got)]
        except ValueError:
            return False
        return pairs[0].shape == pairs[1].shape and np.allclose(*pairs, rtol=3e-7, atol=0)


def is_expression(code):
    try:
        compile(code, "page", "eval")
    except SyntaxError:
        return False
    return True


def examples_of(rows):
    """A doctest example for every statement; the last one of a row must print its last column."""
    for row in rows:
        _, jax_cell, prints = row.strip("|").split("|")
        for code in SPAN.findall(jax_cell):
            if is_expression(code):
                yield doctest.Example(f"print({code})\n", " ".join(SPAN.findall(prints)) + "\n")
            else:
                yield doctest.Example(f"{code}\n", "")


def topics():
    for section in PAGE.split("\n## ")[1:]:
        title, *lines = section.splitlines()
        yield pytest.param([line for line in lines if line.startswith("| `")], id=title)


@pytest.mark.parametrize("rows", list(topics()))
def test_topic(rows):
    assert rows
    namespace = {}
    exec(IMPORTS, namespace)
    test = doctest.DocTest(list(examples_of(rows)), namespace, "tf_to_jax", "tf_to_jax.md", 0, None)
    report = []
    failed, attempted = doctest.DocTestRunner(Figures()).run(test, out=report.append)
    assert attempted >= len(rows)
    assert not failed, "".join(report)


def test_the_checker_tells_figures_apart():
    check = Figures().check_output
    assert check("[0.0481878 1]\n", "[0.04818781 1]\n", 0)
    assert not check("[0.0481878 1]\n", "[0.0481979 1]\n", 0)
    assert not check("(2, 3)\n", "(2, 4)\n", 0)
    assert not check("int32\n", "int64\n", 0)
