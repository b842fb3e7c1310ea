"""Several steps as one compiled program: the host dispatches once instead of once per step."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.machine.process import memory_options, xla_accepts

MOST = 16  # steps in one program: a signal to stop waits for all of them
MOST_COPIES = 5  # where each step is compiled
LONG_EPOCH = 500  # steps that make up for compiling copies, a second or two
SMALL = 2**20  # parameters; with more, starting a program takes no time compared with a step on a CPU
SHALLOW = 16  # arrays of parameters; with more, copies take long to compile
YNN = "xla_cpu_experimental_ynn_fusion_type"


def steps_per_call(steps: int, params: Any, platform: str) -> int:
    """Returns how many steps are worth compiling into one program, a divisor of the epoch's steps.

    On CPUs it is 1 unless the network is small; if the steps cannot be scanned, the network must also be
    shallow and the epoch long.

    Args:
        steps: Number of steps in an epoch.
        params: The network's parameters.
        platform: Platform of the device: "cpu", "gpu", "tpu".
    """
    most = MOST
    if platform == "cpu" and not _is_small(params):
        most = 1
    elif not can_scan(params, platform):
        shallow = len(jax.tree.leaves(params)) <= SHALLOW
        most = MOST_COPIES if shallow and steps >= LONG_EPOCH else 1
    return max(count for count in range(1, most + 1) if steps % count == 0)


def can_scan(params: Any, platform: str) -> bool:
    """Returns whether steps may run in a scan, which CPUs run slowly for kernels of more than two axes."""
    return platform != "cpu" or all(leaf.ndim <= 2 for leaf in jax.tree.leaves(params))


def compiler_options(params: Any, platform: str) -> dict[str, Any]:
    """Returns ``compiler_options`` for the `jax.jit` of training steps: on CPUs, for memory and libraries."""
    options = memory_options() if platform == "cpu" else {}
    accepted = {name: value for name, value in options.items() if xla_accepts(name, value)}
    return accepted | library_options(params, platform)


def library_options(params: Any, platform: str) -> dict[str, str]:
    """Returns ``compiler_options`` for programs with these parameters: what XLA leaves to YNNPACK on a CPU.

    Small networks get from Eigen what YNNPACK is slower for: products of few rows, if there are no
    convolutions, and from jax 0.12 on the convolutions. For others, nothing is changed.
    """
    if platform != "cpu" or not _is_small(params):
        return {}
    if can_scan(params, platform):
        kinds = ""
    elif jax.__version_info__ >= (0, 12):
        kinds = "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    else:
        return {}
    return {YNN: kinds} if xla_accepts(YNN, kinds) else {}


def _is_small(params: Any) -> bool:
    return sum(leaf.size for leaf in jax.tree.leaves(params)) <= SMALL


def run_steps(
    step: Callable[..., Any], state: Any, sums: Any, batches: Sequence[Any], *, unrolled: bool
) -> tuple[Any, Any]:
    """Returns the state and the sums after `step` is applied to one batch after another; pure.

    Args:
        step: (state, sums, batch) -> (state, sums).
        state: The state before the first step.
        sums: The sums before the first step.
        batches: Batches of equal shapes; if they refer to a resident data set, all to the same one.
        unrolled: Whether to compile a copy of the step per batch instead of a scan (see `can_scan`).
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
