"""Runs Keras's tests in a process of its own, and counts."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
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
# Tests that fail for what jaxnets does otherwise by choice, or for what they look at, and why.
KNOWN = {
    "optimizer_test.py::OptimizerTest::test_ema_with_model_fit": (
        "its targets (batch, 1) are broadcast to predictions (batch, 2), which is refused here"
    ),
    **dict.fromkeys(
        [f"BatchNormalizationTest::test_correctness{number}" for number in range(8, 16)],
        "with channels on another axis, Keras's mask has that axis too; ours has the axes that are averaged",
    ),
    "BatchNormalizationTest::test_masked_broadcast_normalization": "its mask (1, 2, 1) is to be broadcast",
    **dict.fromkeys(
        ["BinaryCrossentropyTest::test_shape_mismatch", "CategoricalCrossentropyTest::test_shape_mismatch"],
        "it expects other words of the error",
    ),
    "RecallAtPrecisionTest::test_end_to_end": "the totals of our AUC are no variables for Keras's `fit`",
    "IoUTest::test_compilation": "the totals of our mean IoU are no variables for Keras's `fit`",
    "R2ScoreTest::test_errors": "targets of any shape are taken, (batch,) too",
    "MeanIoUTest::test_big_chunk": "it looks at a variable inside Keras's MeanIoU",
    "MeanIoUTest::test_user_warning_float_weight": "weights are not rounded, so there is nothing to warn of",
    "nadam_test.py::NadamTest::test_build_with_empty_var_list": "it looks at a variable inside Keras's Nadam",
}


def package() -> Path | None:
    """Returns the folder of Keras's source with its tests, or None if the package comes without them."""
    found = importlib.util.find_spec("keras")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "src"
    return folder if (folder / "losses" / "losses_test.py").exists() else None


def downloaded(work: Path) -> Path:
    """Returns the folder of the source that the package index has for the installed version, in `work`."""
    version = importlib.metadata.version("keras")
    command = [sys.executable, "-m", "pip", "download", f"keras=={version}", "--no-binary", ":all:"]
    subprocess.run([*command, "--no-deps", "-d", str(work)], check=True)
    for archive in work.glob("keras-*"):
        shutil.unpack_archive(archive, work)
    return next(work.rglob("losses/losses_test.py")).parents[1]


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


def unexpected(records: Iterable[dict[str, str]]) -> list[str]:
    """Returns the tests that failed and are not known to."""
    failed = [record for record in records if record["outcome"] == "failed"]
    return [f"{r['test']}: {r['why']}" for r in failed if not any(r["test"].endswith(name) for name in KNOWN)]


def counts(records: Iterable[dict[str, str]]) -> dict[str, int]:
    """Returns how many tests of a group are equal, unsupported and failed; others do not concern us."""
    tally = Counter(record["outcome"] for record in records)
    return {"equal": tally["passed"], "unsupported": tally["unsupported"], "failed": tally["failed"]}
