"""What was measured, and on which machine: lines of JSON, one per comparison.

They are in runs/benchmarks.jsonl, and those that the authors publish in docs/benchmarks.jsonl.
"""

from jaxnets.errors import UserError

import hashlib
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "benchmarks.jsonl"
OWN = Path("runs/benchmarks.jsonl")


def place(path: Path | None, publish: bool) -> Path:
    """Where to record: in the file given, in docs/, or by default under runs/."""
    if path and publish:
        raise UserError(f"a path for the records, {path}, and --publish: leave one of them out")
    return path or (PUBLISHED if publish else OWN)


def fingerprint() -> str:
    """A hash of the library's source: measurements are of it, whatever else a commit changes."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "jaxnets").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def read(path: Path) -> list[dict[str, Any]]:
    """All comparisons, the oldest first."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def append(record: dict[str, Any], path: Path) -> None:
    """Adds one comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
