"""Training steps on the accelerator that is here, beside a plain Flax and Optax twin's, and `plan`'s bound.

    python -m experiments.benchmarks.clock --only resnet18 lenet5

Both are those of `accelerators ratios`, compiled and tuned for the device, and take turns on it.
"""

from jaxnets.cli import commandline

from experiments.benchmarks import flax_twins
from experiments.benchmarks.accelerators import BATCHES, ours, twins
from jaxnets.accelerators import CHIPS, Chip, Plan
from jaxnets.accelerators.reading import compile_program
from jaxnets.errors import UserError, lookup

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Timed:
    """A step compiled for the accelerator that is there, with random numbers for its arguments."""

    def __init__(self, make: Any, name: str, chip: Chip, batch: int, dtype: str):
        step, self.shapes = make(name, chip, jax.devices()[:1], batch, dtype)
        self.compiled, self.reading = compile_program(step, *self.shapes)

    def start(self) -> None:
        """Draws the arguments, and runs two steps."""
        rng = np.random.default_rng(0)

        def draw(path: Any, leaf: Any) -> jax.Array:
            name = jax.tree_util.keystr(path[-1:])
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                values: Any = jax.random.key(0)
            elif leaf.dtype == jnp.uint8:
                values = rng.integers(0, 256, leaf.shape, np.uint8)
            elif "mask" in name:
                values = np.ones(leaf.shape, np.float32)
            elif "kernel" in name or "'x'" in name:
                values = rng.normal(0, 0.05, leaf.shape)
            else:  # labels, counters, and moments and biases as they begin
                values = np.zeros(leaf.shape)
            return jax.device_put(jnp.asarray(values, leaf.dtype), leaf.sharding)

        self.carry = jax.tree_util.tree_map_with_path(draw, self.shapes)
        self.run(2)

    def run(self, steps: int) -> float:
        """Returns the seconds that one of these steps takes."""
        *carried, last = self.carry
        start = time.perf_counter()
        for _ in range(steps):
            carried[:] = self.compiled(*carried, last)[: len(carried)]
        jax.block_until_ready(carried)
        self.carry = (*carried, last)
        return (time.perf_counter() - start) / steps


def main(
    *,
    only: tuple[str, ...] = (),
    batch: int = 256,
    dtypes: tuple[str, ...] = ("bfloat16", "float32"),
    rounds: int = 7,
    seconds: float = 0.2,
) -> list[dict[str, Any]]:
    """Print a row for every network and type: the times of a step here, of jaxnets and of the twin.

    The ratio is the twin's time divided by that of jaxnets: above 1, jaxnets is faster. Medians count. The
    bound is that of `plan`, read from the program that ran.

    Args:
        only: Names of the networks. By default all that have a twin.
        batch: Examples in a step; fewer for large images.
        dtypes: Types of the arithmetic.
        rounds: Number of turns of each.
        seconds: Approximate length of a turn.
    """
    kind = jax.devices()[0].device_kind
    device = next((key for key, chip in CHIPS.items() if chip.name == kind), None)
    if device is None:
        known = ", ".join(chip.name for chip in CHIPS.values())
        raise UserError(f"this process runs on {kind}, and the clock needs an accelerator: {known}")
    chip, found = CHIPS[device], []
    for name in only:
        lookup(flax_twins.FLAX_MODELS, name, "network")
    names = only or flax_twins.FLAX_MODELS
    asked = [(name, min(batch, BATCHES.get(name, batch)), dtype) for name in names for dtype in dtypes]
    with ThreadPoolExecutor() as pool:  # closed when all are compiled, so that nothing disturbs the clock
        pairs = [
            [pool.submit(Timed, make, name, chip, size, dtype) for make in (ours, twins)]
            for name, size, dtype in asked
        ]
        for (name, _, dtype), pair in zip(asked, pairs, strict=True):
            wait(pair)
            print(f"compiled: {name}, {dtype}", file=sys.stderr, flush=True)
    heads = ["network", "dtype", "batch", "ratio", "step (ms)", "twin (ms)", "bound (ms)", "step / bound"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for (name, size, dtype), pair in zip(asked, pairs, strict=True):
        both = [one.result() for one in pair]
        for one in both:
            one.start()
        steps = [max(1, round(seconds / one.run(3))) for one in both]
        turns = [[one.run(count) for one, count in zip(both, steps, strict=True)] for _ in range(rounds)]
        mine, other = map(statistics.median, zip(*turns, strict=True))
        planned = Plan(name, "training", device, (1,), size, dtype, "data", False, both[0].reading)
        bound = planned.bound_seconds
        times = {"seconds": mine, "twin": other, "bound": bound}
        found.append({"network": name, "dtype": dtype, "batch": size, **times})
        cells = [name, dtype, str(size), f"{other / mine:.2f}", f"{1e3 * mine:.3f}", f"{1e3 * other:.3f}"]
        cells += [f"{1e3 * bound:.3f}", f"{mine / bound:.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
        pair.clear()  # frees the memory of both
    return found


if __name__ == "__main__":
    commandline.run(main)
