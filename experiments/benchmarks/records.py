"""What was measured, on what: lines of JSON in docs/benchmarks.jsonl, one a comparison."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "docs" / "benchmarks.jsonl"


def hardware() -> str:
    """The GPU where there is one, the processor and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([*gpus(), f"{names[0] if names else platform.processor()}, {cores} cores"])


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs here."""
    if not shutil.which("nvidia-smi"):
        return []
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()


def fingerprint() -> str:
    """A hash of the library's source: measurements are of it, whatever else a commit changes."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "jaxnets").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def read(path: Path = RECORDS) -> list[dict[str, Any]]:
    """All comparisons, the oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(record: dict[str, Any], path: Path = RECORDS) -> None:
    """Adds one comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
