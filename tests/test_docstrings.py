"""The examples in the docstrings of the pure functions are run."""

import doctest
import importlib

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
