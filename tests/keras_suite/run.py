"""Runs Keras's tests in a process of its own, and counts."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[2]
# What each row of the table runs, in keras/src.
GROUPS = {
    "losses": ("losses",),
    "metrics": ("metrics",),
    "optimizers": ("optimizers/*_test.py",),
    "schedules": ("optimizers/schedules",),
    "initializers": ("initializers",),
    "activations": ("activations", "layers/activations"),
    "convolutions": ("layers/convolutional",),
    "dense layers and embeddings": ("layers/core",),
    "pooling": ("layers/pooling",),
    "normalization": ("layers/normalization",),
    "dropout and noise": ("layers/regularization",),
    "recurrent layers": ("layers/rnn",),
    "reshaping": ("layers/reshaping",),
    "merging": ("layers/merging",),
    "attention": ("layers/attention",),
}
COLUMNS = ("equal", "unsupported", "failed")


def package() -> Path | None:
    """Returns the folder of Keras's source with its tests, or None if the package comes without them."""
    found = importlib.util.find_spec("keras")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "src"
    return folder if (folder / "losses" / "losses_test.py").exists() else None


def files(folder: Path, patterns: Sequence[str]) -> list[str]:
    """Returns the test files of a group, relative to the folder."""
    found: list[Path] = []
    for pattern in patterns:
        found += folder.glob(pattern if "*" in pattern else f"{pattern}/*_test.py")
    return sorted(str(file.relative_to(folder)) for file in found)


def run(folder: Path, names: Iterable[str]) -> list[dict[str, str]]:
    """Runs test files with our parts in Keras's place; returns a record for every test."""
    names = list(names)
    with tempfile.TemporaryDirectory() as work:
        record = Path(work) / "record.jsonl"
        record.touch()
        environment = os.environ | {
            "KERAS_BACKEND": "jax",
            "KERAS_SUITE": " ".join(names),
            "KERAS_SUITE_RECORD": str(record),
            "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path[1:]]),
            "JAX_NUMPY_RANK_PROMOTION": "allow",
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.keras_suite.plugin", "-c", os.devnull]
        command += ["-p", "no:cacheprovider", "--rootdir", str(folder), "--import-mode=importlib"]
        done = subprocess.run(
            [*command, *(str(folder / name) for name in names)],
            env=environment,
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        records = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    if not records:
        raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
    return records


def counts(records: Iterable[dict[str, str]]) -> dict[str, int]:
    """Returns how many tests of a group are equal, unsupported and failed; others do not concern us."""
    tally = Counter(record["outcome"] for record in records)
    return {"equal": tally["passed"], "unsupported": tally["unsupported"], "failed": tally["failed"]}
