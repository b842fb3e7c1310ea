"""What the scripts say about the documents: their figures, which of them are derived, epochs and seeds."""

from experiments.catalogue import Row

import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def script_of(row: Row) -> ModuleType:
    """The module that a row runs."""
    return importlib.import_module(f"experiments.{row.script}")


def documented(row: Row) -> Mapping[str, Any]:
    """The documented figures by name."""
    return _of(row, "DOCUMENTED", {})


def again(row: Row) -> Mapping[str, Any]:
    """Those of a second run of the same system, where the document prints two."""
    return _of(row, "AGAIN", {})


def derived(row: Row) -> tuple[str, ...]:
    """Names of the figures among them that stand in no document and follow from it."""
    return _of(row, "DERIVED", ())


def figures(row: Row) -> tuple[str, ...]:
    """Names of the figures to show."""
    return row.figures or (tuple(documented(row)) if row.documented else ())


def epochs(row: Row) -> int | None:
    """How many epochs the document trains, where that is one number."""
    parameters = inspect.signature(script_of(row).main).parameters
    return parameters["epochs"].default if "epochs" in parameters else None


def seeds(row: Row, run: Mapping[str, Any]) -> list[int]:
    """The seeds of one run: the one that it was given, or else those that its script has by itself."""
    if run["seed"] is not None:
        return [run["seed"]]
    parameters = inspect.signature(script_of(row).main).parameters
    if "seed" not in parameters:
        return []
    count = run["options"].get("seeds", parameters["seeds"].default) if "seeds" in parameters else 1
    first = parameters["seed"].default
    return list(range(first, first + count))


def _of(row: Row, name: str, default: Any) -> Any:
    """A constant of the row's script; of a table by model, the part of the row's model."""
    table = getattr(script_of(row), name, default)
    return table.get(row.key, default) if row.key and isinstance(table, dict) else table
