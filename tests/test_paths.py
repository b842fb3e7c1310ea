"""Wherever a path is taken, its text will do."""

import dataclasses
import importlib
import inspect
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SHOWN = [
    name
    for page in ROOT.glob("docs/api/*.md")
    for name in re.findall(r"^::: (jaxnets(?!\.cli)\S*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


def public(name):
    """The public functions and classes of a module or package, by name."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [
        one
        for one, thing in vars(module).items()
        if getattr(thing, "__module__", "") == name and one[0] != "_"
    ]
    for one in names:
        thing = getattr(module, one)
        takes = inspect.isroutine(thing) or (inspect.isclass(thing) and "__init__" in vars(thing))
        if takes and not dataclasses.is_dataclass(thing):  # these are given by us
            yield f"{name}.{one}", thing


@pytest.mark.parametrize("name", sorted(set(SHOWN)))
def test_whoever_takes_a_path_says_that_its_text_will_do(name):
    for where, thing in public(name):
        for argument in inspect.signature(thing).parameters.values():
            kinds = inspect.formatannotation(argument.annotation)
            if "Path" in kinds:
                assert "str" in kinds, f"{where}({argument})"
