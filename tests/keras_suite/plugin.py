"""The pytest plugin: exchanges the parts before Keras's tests are imported, and records each test."""

import importlib
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import pytest

from tests.keras_suite import of_layers, of_losses, of_metrics, of_optimizers
from tests.keras_suite.adapter import USED

MARKERS = ("requires_trainable_backend", "skip_if_backend", "multi_device")


def _skip_if_backend(name: str, reason: str) -> Any:
    return pytest.mark.skipif(name == "jax", reason=reason)


def pytest_configure(config: Any) -> None:
    """Registers Keras's markers, and exchanges the parts."""
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: Keras's")
    helpers: Any = types.ModuleType(
        "conftest"
    )  # Keras's is not in its package; its tests import one name of it
    helpers.skip_if_backend = _skip_if_backend
    sys.modules["conftest"] = helpers
    jax.config.update("jax_num_cpu_devices", 4)
    install()


def install() -> None:
    """Puts all parts of ours into Keras."""
    of_losses.install()
    of_metrics.install()
    of_optimizers.install()
    of_layers.install(_subjects())


def _subjects() -> set[str]:
    """Returns the layers whose own tests are asked for: the public classes of the module beside each test."""
    found: set[str] = set()
    folder = Path(keras.__file__).parent
    for name in os.environ.get("KERAS_SUITE", "").split():
        file = folder / "src" / name.removesuffix("_test.py")
        if name.startswith("layers/") and file.with_suffix(".py").exists():
            module = importlib.import_module(
                "keras.src." + str(name).removesuffix("_test.py").replace("/", ".")
            )
            found |= {
                key
                for key, kind in vars(module).items()
                if getattr(kind, "__module__", "") == module.__name__
            }
    return found


def pytest_runtest_setup(item: Any) -> None:
    """Forgets what the test before has used."""
    USED.clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Writes a line for every test: its name, what it used, and what became of it."""
    report = (yield).get_result()
    if report.when != "call" and not (report.when == "setup" and report.outcome != "passed"):
        return
    error = call.excinfo.value if call.excinfo is not None else None
    reason = str(error or "")
    outcome = report.outcome
    if "jaxnets has no " in reason and outcome == "skipped":
        outcome = "unsupported"
    elif outcome == "passed" and not USED:
        outcome = "other"
    elif isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("jaxnets"):
        outcome = "other"  # it needs a package that is not installed
    file = str(item.path).rpartition("/src/")[2]
    line = {"test": f"{file}::{item.nodeid.split('::', 1)[1]}", "outcome": outcome, "why": reason[:300]}
    with open(os.environ["KERAS_SUITE_RECORD"], "a", encoding="utf-8") as record:
        record.write(json.dumps(line) + "\n")
