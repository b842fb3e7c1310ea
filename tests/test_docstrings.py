"""The examples in the docstrings are run, and all stand where the site wants them."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxnets"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    assert any(found.examples for found in doctest.DocTestFinder().find(module))
    assert not doctest.testmod(module).failed


def test_examples_stand_in_a_section_of_that_name():
    """Elsewhere the site takes >>> for a quotation in Markdown."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                above: list[str] = []
                for line in (ast.get_docstring(node) or "").splitlines():
                    if line.lstrip().startswith(">>>"):
                        outside = [one for one in above if not one.startswith("  ")]
                        assert outside[-1:] == ["Examples:"], f"{path}: {line}"
                    above += [line] if line.strip() else []
