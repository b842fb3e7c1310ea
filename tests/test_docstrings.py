"""The examples in the docstrings of the pure functions are run, and all stand where the site wants them."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

MODULES = (
    "complexity",
    "losses",
    "metrics",
    "optim",
    "optim.textbook",
    "optim.transforms",
    "report",
    "schedules",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, attempted = doctest.testmod(importlib.import_module(f"jaxnets.{name}"))
    assert attempted
    assert not failed


def test_examples_stand_in_a_section_of_that_name():
    """Elsewhere the site takes >>> for a quotation in Markdown."""
    for path in (Path(__file__).parents[1] / "jaxnets").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                above: list[str] = []
                for line in (ast.get_docstring(node) or "").splitlines():
                    if line.lstrip().startswith(">>>"):
                        outside = [one for one in above if not one.startswith("  ")]
                        assert outside[-1:] == ["Examples:"], f"{path}: {line}"
                    above += [line] if line.strip() else []
