"""Several steps as one compiled program: the host is asked once instead of once a step."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.machine.process import memory_options, xla_accepts

MOST = 16  # steps in one program: a signal to stop waits for all of them
MOST_COPIES = 5  # where each step is compiled
LONG_EPOCH = 500  # steps that make up for compiling copies, a second or two
SMALL = 2**20  # parameters; with more, what starting a program takes is nothing beside a step on a CPU
SHALLOW = 16  # arrays of parameters; with more, copies take long to compile


def steps_per_call(steps: int, params: Any, platform: str) -> int:
    """Returns how many steps pay to be one program, a divisor of an epoch's number of steps.

    On CPUs 1, unless the network is small; what cannot be scanned must be shallow and the epoch long as well.

    Args:
        steps: Steps in an epoch.
        params: The network's parameters.
        platform: Of the device that runs them: "cpu", "gpu", "tpu".
    """
    most = MOST
    if platform == "cpu" and not _is_small(params):
        most = 1
    elif not can_scan(params, platform):
        shallow = len(jax.tree.leaves(params)) <= SHALLOW
        most = MOST_COPIES if shallow and steps >= LONG_EPOCH else 1
    return max(count for count in range(1, most + 1) if steps % count == 0)


def can_scan(params: Any, platform: str) -> bool:
    """Returns whether steps may be a loop; on CPUs it is slow for convolutions, kernels of over two axes."""
    return platform != "cpu" or all(leaf.ndim <= 2 for leaf in jax.tree.leaves(params))


def compiler_options(params: Any, platform: str) -> dict[str, Any]:
    """Returns ``compiler_options`` for the `jax.jit` of training steps.

    On CPUs: what `memory_options` says; and small networks without convolutions have their matrix products
    from Eigen, not from YNNPACK, which takes longer where few rows meet a matrix.
    """
    if platform != "cpu":
        return {}
    options = memory_options()
    if can_scan(params, platform) and _is_small(params):
        options["xla_cpu_experimental_ynn_fusion_type"] = ""
    return {name: value for name, value in options.items() if xla_accepts(name, value)}


def _is_small(params: Any) -> bool:
    return sum(leaf.size for leaf in jax.tree.leaves(params)) <= SMALL


def run_steps(
    step: Callable[..., Any], state: Any, sums: Any, batches: Sequence[Any], *, unrolled: bool
) -> tuple[Any, Any]:
    """Applies `step` to the batches one after the other; pure.

    Args:
        step: (state, sums, batch) -> (state, sums).
        state: Before the first.
        sums: Before the first.
        batches: Of the same shapes; a resident data set in them is one and the same.
        unrolled: One copy of the step for each batch; otherwise a scan (see `can_scan`).
    """
    if unrolled or len(batches) == 1:
        for batch in batches:
            state, sums = step(state, sums, batch)
        return state, sums
    shared = {key: batches[0][key] for key in ("resident",) if key in batches[0]}
    rows = [{key: value for key, value in batch.items() if key not in shared} for batch in batches]
    stacked = jax.tree.map(lambda *values: jnp.stack(values), *rows)

    def body(carry, row):
        return step(*carry, {**row, **shared}), None

    (state, sums), _ = lax.scan(body, (state, sums), stacked)
    return state, sums
