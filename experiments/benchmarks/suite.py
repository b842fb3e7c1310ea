"""jaxnets compared with Keras and PyTorch: training steps, inference, starts, scaling.

    python -m experiments.benchmarks.suite                                # all that has not been measured yet
    python -m experiments.benchmarks.suite --only lenet5 --kinds step     # one comparison
    python -m experiments.benchmarks.report                               # runs/benchmarks.md and its chart

Every contestant is a process of its own (`contestants` lists their settings), started one after the other and
tuned alone; then they measure in turns, round by round, so that other work on the machine affects all of them
alike, and the median counts. Each comparison is printed, ratio first, and added to runs/benchmarks.jsonl,
or with --publish to docs/, with hardware and versions; what is recorded already for this hardware and this
state of jaxnets/ is skipped. Contestants that are not installed are left out. The kinds of comparison:

- step, inference: milliseconds of a training step (Adam) or of a prediction, and peak memory.
- start: seconds from an empty process to the first training step, including imports; jaxnets both with an
  empty compilation cache and with the one that its last run left; torch.compile's cache is empty.
- matrix: the device's rate for products of square matrices, with which the rates of networks are compared.
- devices: jaxnets alone, with one batch over 1, 2, 4 virtual CPU devices, or over all GPUs there are.
"""

from jaxnets.cli import commandline

from experiments.benchmarks import records
from experiments.benchmarks.contest import Spec, installed
from experiments.benchmarks.contestants import CONTESTANTS, MATRICES
from jaxnets import machine
from jaxnets.errors import lookup

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple


class Network(NamedTuple):
    """Where the documents have it, one example, the large batch (CPU, GPU), Keras steps at once."""

    document: str
    shape: tuple[int, ...]
    large: tuple[int, int]
    at_once: int = 16


GREY, COLOUR, LARGE = (28, 28, 1), (32, 32, 3), (224, 224, 3)
NETWORKS = {
    "mlp": Network("B2", GREY, (1024, 8192)),
    "lenet5": Network("E2", GREY, (1024, 8192)),
    "baseline": Network("C1", COLOUR, (512, 4096)),
    "lenet5_sigmoid": Network("C2", COLOUR, (1024, 8192)),
    "alexnet8": Network("C3", COLOUR, (256, 2048), 4),
    "vgg16_cifar": Network("C4", COLOUR, (128, 1024), 2),
    "inception10": Network("C5", COLOUR, (256, 2048)),
    "resnet18": Network("C6", COLOUR, (128, 1024), 1),
    "cnn": Network("E4", GREY, (512, 4096)),
    "fashion_cnn": Network("F3", GREY, (256, 2048), 4),
    "stock_lstm": Network("D6", (60, 1), (512, 2048)),
    "stock_gru": Network("D6", (60, 1), (512, 2048)),
    "resnet50": Network("F4", LARGE, (64, 256), 1),
    "xception": Network("F5", LARGE, (64, 256), 1),
}
MATRIX = (2048, 8192)  # rows, CPU and GPU
OTHERS = tuple(name for name in CONTESTANTS if name != "jaxnets")


class Contestant:
    """A process that does steps when told to."""

    def __init__(self, spec: Spec, environment: dict[str, str]):
        self.started = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "experiments.benchmarks.contestants",
            json.dumps(dataclasses.asdict(spec)),
        ]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **environment},
            cwd=records.ROOT,
        )
        self.import_seconds = self._wait("imported")[0]
        self.first_step_seconds = self._wait("first")[0]
        self.about = self._wait("ready")[1]

    def _wait(self, event: str) -> tuple[float, dict[str, Any]]:
        """Returns the seconds from the start to this answer, and the answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {}
        if answer.get("event") != event:
            said = self.stop()
            raise RuntimeError(said[-1][:300] if said else "it ended without a word")
        return time.perf_counter() - self.started, answer

    def do(self, steps: int) -> dict[str, Any]:
        """Returns {"seconds": of a step, "resident": peak bytes, "on_device": peak bytes or None}."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self._wait("done")[1]

    def steps(self, seconds: float) -> int:
        """Returns how many whole units of steps take about so long."""
        unit = self.about["unit"]
        return unit * max(1, round(seconds / self.do(unit)["seconds"] / unit))

    def stop(self) -> list[str]:
        """Ends the process; returns the lines it wrote to its error stream."""
        with self.process, self.log:  # closing its input ends it
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait()
            self.log.seek(0)
            return [text.strip() for text in self.log.read().splitlines() if text.strip()]


def environment(folder: str, spec: Spec) -> dict[str, str]:
    """Caches of compiled programs in this folder; no framework takes all of a GPU's memory for itself.

    And huge pages of memory for the others, of which PyTorch gains; jaxnets keeps its memory.
    """
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={spec.devices}"
    pages = {"GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")}
    return {
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
        "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **(pages if spec.contestant != "jaxnets" else {}),
        **({"XLA_FLAGS": flags.strip()} if spec.devices > 1 else {}),
    }


def in_turns(specs: dict[str, Spec], rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Starts all contestants, then measures them in turns; those that fail say why."""
    results: dict[str, dict[str, Any]] = {}
    running: dict[str, Contestant] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, spec in specs.items():
                try:
                    running[name] = Contestant(spec, environment(f"{folder}/{name}", spec))
                except RuntimeError as error:
                    results[name] = {"failed": str(error)}
            steps = {name: one.steps(seconds) for name, one in running.items()}
            done: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
            for _ in range(rounds):
                for name, one in running.items():
                    done[name].append(one.do(steps[name]))
            for name, one in running.items():
                times = [answer["seconds"] for answer in done[name]]
                peaks = {key: done[name][-1][key] for key in ("resident", "on_device")}
                about = {key: value for key, value in one.about.items() if key not in ("event", "unit")}
                starts = {"import": one.import_seconds, "first_step": one.first_step_seconds}
                results[name] = (
                    {"seconds": statistics.median(times), "rounds": times} | peaks | starts | about
                )
        finally:
            for one in running.values():
                one.stop()
    return results


def starts(specs: dict[str, Spec], rounds: int) -> dict[str, dict[str, Any]]:
    """Medians of the seconds to the imports' end and to the first step's, all processes new every time."""
    done: dict[str, list[Contestant]] = {}
    failed: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name, spec in specs.items():
            with tempfile.TemporaryDirectory() as folder:
                again = [name, f"{name}, cached"] if name == "jaxnets" else [name]
                for label in again:  # the second one finds what the first has compiled
                    try:
                        one = Contestant(spec, environment(folder, spec))
                    except RuntimeError as error:
                        failed[label] = {"failed": str(error)}
                        continue
                    one.stop()
                    done.setdefault(label, []).append(one)

    def figures(of: list[Contestant]) -> dict[str, Any]:
        both = {
            "import": statistics.median(one.import_seconds for one in of),
            "seconds": statistics.median(one.first_step_seconds for one in of),
        }
        return {**both, "rounds": [one.first_step_seconds for one in of], "versions": of[0].about["versions"]}

    return failed | {name: figures(of) for name, of in done.items()}


def comparisons(
    only: tuple[str, ...], kinds: tuple[str, ...], batches: tuple[int, ...], dtypes: tuple[str, ...]
) -> list[Spec]:
    """What to compare, each as jaxnets' spec."""
    gpu, found = bool(machine.gpus()), []
    matrix = "matrix" in kinds and not only
    for dtype in dtypes:
        if matrix:
            found.append(Spec("jaxnets", "matrix", (), "matrix", MATRIX[gpu], dtype))
        for name in only or NETWORKS:
            about = lookup(NETWORKS, name, "network")
            for kind in kinds:
                sizes = {"start": (32,), "matrix": (), "devices": (about.large[gpu],)}.get(
                    kind, batches or (32, about.large[gpu])
                )
                found += [Spec("jaxnets", name, about.shape, kind, n, dtype, about.at_once) for n in sizes]
    return found


def compare(spec: Spec, others: tuple[str, ...], rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Measures one comparison."""
    able = MATRICES if spec.kind == "matrix" else CONTESTANTS
    if spec.kind == "devices":
        counts = range(1, len(machine.gpus()) + 1) if machine.gpus() else (1, 2, 4)
        shared = {f"{n} devices": dataclasses.replace(spec, kind="step", devices=n) for n in counts}
        return in_turns(shared, rounds, seconds)
    names = [name for name in able if name in ("jaxnets", *others) and installed(name)]
    specs = {name: dataclasses.replace(spec, contestant=name) for name in names}
    if spec.kind == "start":
        return starts(
            {name: dataclasses.replace(one, kind="step", tune=False) for name, one in specs.items()}, rounds
        )
    results = in_turns(specs, rounds, seconds)
    sizes = {name: result["parameters"] for name, result in results.items() if "parameters" in result}
    assert len(set(sizes.values())) <= 1, f"{spec.network}: not the same network, parameters {sizes}"
    return results


def say(spec: Spec, results: dict[str, dict[str, Any]]) -> None:
    """Prints a comparison: how many times as fast jaxnets is, and what everyone took."""
    print(f"\n{spec.network}, {spec.kind}, batch {spec.batch}, {spec.dtype}")
    first = next(iter(results.values())).get("seconds")
    for name, result in results.items():
        if "failed" in result:
            print(f"       {name}: failed, {result['failed']}")
            continue
        ratio = f"{result['seconds'] / first:5.2f}x" if first else "     -"
        rest = f"{result['seconds'] * 1e3:>11.2f} ms  {result.get('settings', '')}"
        print(f"{ratio} {name:20}{rest}", flush=True)


def main(
    *,
    only: tuple[str, ...] = (),
    kinds: tuple[str, ...] = ("matrix", "step", "inference", "start"),
    batches: tuple[int, ...] = (),
    dtypes: tuple[str, ...] = ("float32",),
    others: tuple[str, ...] = OTHERS,
    rounds: int = 5,
    seconds: float = 1.0,
    again: bool = False,
    out: Path | None = None,
    publish: bool = False,
) -> None:
    """Compare, print and record.

    Args:
        only: Names of networks. By default all of the table.
        kinds: Kinds of comparison: matrix, step, inference, start, devices.
        batches: Examples in a batch. By default 32 and a large one.
        dtypes: float32, bfloat16 (float32 parameters; autocast in PyTorch, mixed_bfloat16 in Keras).
        others: Frameworks to compare with, if they are installed.
        rounds: Number of rounds, of which the median counts.
        seconds: Approximate length of a contestant's turn; at least one step.
        again: Whether to repeat comparisons that are recorded already.
        out: Path of the records, to which this adds. By default runs/benchmarks.jsonl.
        publish: Whether to record in docs/ instead, for the authors.
    """
    path = records.place(out, publish)
    for name in others:
        lookup(CONTESTANTS, name, "contestant")
        if not installed(name):
            print(f"{name} is left out: it is not installed")
    about = {"hardware": machine.hardware(), "jaxnets": records.fingerprint()}
    keys = ("hardware", "jaxnets", "network", "kind", "batch", "dtype")
    known = {tuple(record[key] for key in keys) for record in records.read(path)}
    for spec in comparisons(only, kinds, batches, dtypes):
        what = {"network": spec.network, "kind": spec.kind, "batch": spec.batch, "dtype": spec.dtype}
        record: dict[str, Any] = {"when": datetime.now(UTC).isoformat(timespec="seconds"), **about, **what}
        if tuple(record[key] for key in keys) in known and not again:
            continue
        results = compare(spec, others, rounds, seconds)
        say(spec, results)
        records.append(record | {"python": sys.version.split()[0], "results": results}, path)


if __name__ == "__main__":
    commandline.run(main)
