"""Measured figures beside the documented ones."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np


def beside(
    documented: Mapping[str, Any], measured: Mapping[str, Any], on: str = "", derived: Collection[str] = ()
) -> None:
    """Prints a row for every documented figure, with the measured one of the same name.

    Args:
        documented: Documented figures by name.
        measured: Measured figures, at least those, by the same names.
        on: Name of the data measured on, for the heading.
        derived: Names of the figures that stand in no document and follow from it.

    Examples:
        >>> beside({"w after step 0": 2.6}, {"w after step 0": np.float32(2.6), "loss": 36.0})
                        documented  measured
        w after step 0  2.6         2.6
    """
    rows = [("", "documented", f"measured on {on}" if on else "measured")]
    for name, value in documented.items():
        rows.append((name, _text(value) + " (derived)" * (name in derived), _text(measured[name])))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, left, right in rows:
        print(f"{name:<{widths[0]}}  {left:<{widths[1]}}  {right}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    value = np.asarray(value)
    if value.ndim == 0:
        return str(value)
    return " ".join(np.array2string(value, max_line_width=200).split())
