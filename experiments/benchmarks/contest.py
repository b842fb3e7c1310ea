"""A contestant of the benchmarks: its task, its answers, and how it finds its best settings."""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, TextIO

import numpy as np

Run = Callable[[int], None]  # does so many steps and waits for the last

# The modules that a contestant stands on.
NEEDS: dict[str, tuple[str, ...]] = {
    "jaxnets": ("jax", "flax", "optax"),
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-jax": ("keras", "jax"),
    "torch": ("torch",),
    "torch.compile": ("torch",),
}
_answers: TextIO = sys.stdout


@dataclass(frozen=True)
class Spec:
    """What to run.

    Attributes:
        contestant: a name of `CONTESTANTS`.
        network: a registered network, or "matrix": products of square matrices with `batch` rows.
        shape: of one example, channels last.
        kind: "step" (training), "inference" or "matrix".
        batch: examples.
        dtype: "float32" or "bfloat16".
        at_once: steps in an execution of Keras's fit.
        devices: how many share the batch; jaxnets alone.
        tune: whether to try several settings; the first otherwise.
    """

    contestant: str
    network: str
    shape: tuple[int, ...]
    kind: str = "step"
    batch: int = 32
    dtype: str = "float32"
    at_once: int = 16
    devices: int = 1
    tune: bool = True


@dataclass
class Ready:
    """A contestant after its start.

    Attributes:
        run: does steps.
        parameters: of the network, trained or not.
        settings: the chosen ones, in words.
        unit: steps that cannot be divided.
        tried: seconds a step of every setting tried.
        multiply_adds: of one example, where known.
        device_bytes: peak memory on the device so far, None where there is none but the machine's.
    """

    run: Run
    parameters: int
    settings: str
    unit: int = 1
    tried: dict[str, float] = field(default_factory=dict)
    multiply_adds: int | None = None
    device_bytes: Callable[[], int | None] = lambda: None


def examples(spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs float32 (batch, ...), and labels int32 (batch,) or, for the stock, values (batch, 1)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(spec.batch, *spec.shape)).astype(np.float32)
    if regression(spec):
        return x, rng.normal(size=(spec.batch, 1)).astype(np.float32)
    return x, rng.integers(0, 10, spec.batch).astype(np.int32)


def regression(spec: Spec) -> bool:
    """Whether the network predicts a number."""
    return spec.network.startswith("stock")


def seconds_a_step(run: Run, steps: int) -> float:
    """By the wall clock."""
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def best_of(
    makers: Mapping[str, Callable[[], Run]], spec: Spec, unit: int = 1
) -> tuple[str, Run, dict[str, float]]:
    """The fastest of several settings, each tried for about half a second after its first steps."""
    tried: dict[str, float] = {}
    best: tuple[float, str, Run] | None = None
    for name, make in makers.items():
        run = make()
        if not spec.tune:
            return name, run, {}
        run(2 * unit)
        steps = unit * max(1, round(0.5 / seconds_a_step(run, unit) / unit))
        tried[name] = seconds_a_step(run, steps)
        if best is None or tried[name] < best[0]:
            best = tried[name], name, run
    assert best is not None
    return best[1], best[2], tried


def say(event: str, **facts: Any) -> None:
    """One line to whoever started this process."""
    print(json.dumps({"event": event, **facts}), file=_answers, flush=True)


def peak_resident() -> int:
    """Bytes of this process at its largest."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Of the distributions that hold these modules."""
    of = metadata.packages_distributions()
    return {name: metadata.version(of[name][0]) for name in names}


def installed(contestant: str) -> bool:
    """Whether all that it needs can be imported."""
    return all(importlib.util.find_spec(module) for module in NEEDS[contestant])


def serve(make: Callable[[Spec], Ready], spec: Spec) -> None:
    """Gets ready, then answers every number of steps on stdin with the seconds one took, until stdin ends."""
    global _answers
    # What libraries print must not get between the answers.
    _answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    ready = make(spec)
    ready.run(ready.unit)
    say("first")
    ready.run(2 * ready.unit)
    say(
        "ready",
        settings=ready.settings,
        unit=ready.unit,
        parameters=ready.parameters,
        multiply_adds=ready.multiply_adds,
        tried=ready.tried,
        versions=versions(NEEDS[spec.contestant]),
    )
    for line in sys.stdin:
        ready.run(ready.unit)  # caches and free memory were another process's a moment ago
        spent = seconds_a_step(ready.run, int(line))
        say("done", seconds=spent, resident=peak_resident(), on_device=ready.device_bytes())
