"""The gain of each formulation for CPUs: whole training steps with and without it, and with it alone.

    python -m experiments.benchmarks.formulations --only lenet5 resnet18 --batches 32

All programs of a network take turns in one process, and medians over the rounds are compared. "Without it"
compares the step that lacks one formulation with the step that has all of them, and "alone" compares the
plain step with the one that has only this formulation: above 1, the formulation pays. Formulations that a
network does not use are left out.
"""

from jaxnets.cli import commandline

from experiments.benchmarks.contest import examples, regression
from experiments.benchmarks.suite import NETWORKS, Spec
from jaxnets import cpu, losses, optim, train
from jaxnets.errors import lookup
from jaxnets.models import MODELS
from jaxnets.nn.operation import formulated

import statistics
import time
from functools import cached_property
from typing import Any

import jax
import numpy as np


class Program:
    """A training step in the formulations of a table, compiled when it first runs."""

    def __init__(self, spec: Spec, table: cpu.Table):
        model, optimizer = MODELS[spec.network](), optim.OPTIMIZERS["adam"](1e-3)
        loss = losses.mean_squared_error if regression(spec) else losses.sparse_categorical_crossentropy
        x, y = examples(spec)
        self.batch = {"x": x, "y": y, "mask": np.ones(spec.batch, np.float32)}
        self.state = train.make_state(model, optimizer, spec.shape)
        with formulated(table):
            step = train.make_train_step(model, optimizer, loss=loss, metrics={})
            self.lowered = jax.jit(step, donate_argnums=0).lower(self.state, self.batch)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.lowered.as_text() == other.lowered.as_text()

    @cached_property
    def compiled(self) -> Any:
        """(state, batch) -> (state, sums)."""
        return self.lowered.compile()

    def run(self, steps: int) -> float:
        """Returns the seconds that one of so many steps takes."""
        compiled, start = self.compiled, time.perf_counter()
        for _ in range(steps):
            self.state, _sums = compiled(self.state, self.batch)
        jax.block_until_ready(self.state)
        return (time.perf_counter() - start) / steps


def programs(spec: Spec) -> dict[tuple[str, str], Program]:
    """The step with all formulations and with none; for each that is used, without it and with it alone."""
    found = {("", "all"): Program(spec, cpu.TABLE), ("", "none"): Program(spec, ())}
    for number, entry in enumerate(cpu.TABLE):
        name = f"{entry.operation}, {entry.function.__module__.rsplit('.', 1)[-1]}"
        rest = Program(spec, (*cpu.TABLE[:number], *cpu.TABLE[number + 1 :]))
        alone = Program(spec, (entry,))
        if rest != found["", "all"]:
            found[name, "rest"] = rest
        if alone != found["", "none"]:
            found[name, "alone"] = alone
    return found


def main(
    *,
    only: tuple[str, ...] = ("lenet5", "cnn", "stock_lstm", "inception10", "resnet18"),
    batches: tuple[int, ...] = (),
    rounds: int = 5,
    seconds: float = 2.0,
) -> list[dict[str, Any]]:
    """Print a table of ratios for every network and batch size.

    Args:
        only: The networks.
        batches: Examples in a step. By default 32 and the large batch of the benchmarks.
        rounds: Number of turns of every program.
        seconds: Approximate length of a turn.
    """
    found = []
    for name in only:
        about = lookup(NETWORKS, name, "network")
        for batch in batches or (32, about.large[False]):
            spec = Spec("jaxnets", name, about.shape, "step", batch, "float32", 1)
            ready = programs(spec)
            steps = {key: max(1, round(seconds / one.run(2))) for key, one in ready.items()}
            times: dict[tuple[str, str], list[float]] = {key: [] for key in ready}
            for _ in range(rounds):
                for key, one in ready.items():
                    times[key].append(one.run(steps[key]))
            middle = {key: statistics.median(values) for key, values in times.items()}
            every, plain = middle["", "all"], middle["", "none"]
            print(f"{name}, batch {batch}: {1e3 * every:.2f} ms, plain {plain / every:.2f} times that")
            for entry in dict.fromkeys(key[0] for key in ready if key[0]):
                record: dict[str, Any] = {"network": name, "batch": batch, "formulation": entry}
                if (entry, "rest") in middle:
                    record["without it"] = middle[entry, "rest"] / every
                if (entry, "alone") in middle:
                    record["alone"] = plain / middle[entry, "alone"]
                found.append(record)
                ratios = "  ".join(
                    f"{key} {record[key]:.3f}" for key in ("without it", "alone") if key in record
                )
                print(f"  {entry:32} {ratios}")
    return found


if __name__ == "__main__":
    commandline.run(main)
