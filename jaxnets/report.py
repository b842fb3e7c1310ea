"""What was measured: beside what was documented, and on what machine."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def beside(documented: Mapping[str, Any], measured: Mapping[str, Any], on: str = "") -> None:
    """Prints a row for every documented figure, with the measured one of the same name.

    Args:
        documented: figures by name.
        measured: at least those, by the same names.
        on: the data that was measured on, for the heading.

    Examples:
        >>> beside({"w after step 0": 2.6}, {"w after step 0": np.float32(2.6), "loss": 36.0})
                        documented  measured
        w after step 0  2.6         2.6
    """
    rows = [("", "documented", f"measured on {on}" if on else "measured")]
    rows += [(name, _text(value), _text(measured[name])) for name, value in documented.items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, left, right in rows:
        print(f"{name:<{widths[0]}}  {left:<{widths[1]}}  {right}")


def hardware() -> str:
    """The GPU where there is one, the processor and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([*gpus(), f"{names[0] if names else platform.processor()}, {cores} cores"])


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs here."""
    if not shutil.which("nvidia-smi"):
        return []
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    value = np.asarray(value)
    if value.ndim == 0:
        return str(value)
    return " ".join(np.array2string(value, max_line_width=200).split())
