"""Several steps as one compiled program: the host is asked once instead of once a step."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.process import keep_memory, known

MOST = 16  # steps in one program: a signal to stop waits for all of them
MOST_COPIES = 5  # where each step is compiled
LONG = 500  # steps of an epoch that make up for compiling copies, a second or two
SMALL = 2**20  # parameters; with more, what starting a program takes is nothing beside a step on a CPU
SHALLOW = 16  # arrays of parameters; with more, copies take long to compile


def at_once(steps: int, params: Any) -> int:
    """Returns how many steps pay to be one program: so many that they divide an epoch's.

    On CPUs 1, unless the network is small; what cannot be scanned must be shallow and the epoch long as well.
    """
    most = MOST
    if jax.default_backend() == "cpu" and not _small(params):
        most = 1
    elif not scans(params):
        most = MOST_COPIES if len(jax.tree.leaves(params)) <= SHALLOW and steps >= LONG else 1
    return max(count for count in range(1, most + 1) if steps % count == 0)


def scans(params: Any) -> bool:
    """Whether steps may be a loop: on CPUs convolutions, kernels of more than two axes, are slow in one."""
    return jax.default_backend() != "cpu" or all(leaf.ndim <= 2 for leaf in jax.tree.leaves(params))


def _small(params: Any) -> bool:
    return sum(leaf.size for leaf in jax.tree.leaves(params)) <= SMALL


def compiler_options(params: Any) -> dict[str, Any]:
    """Returns ``compiler_options`` for the `jax.jit` of training steps, and has freed memory kept.

    What `keep_memory` says; and small networks without convolutions have their matrix products from Eigen on
    CPUs, not from YNNPACK, which takes longer where few rows meet a matrix.
    """
    options: dict[str, Any] = dict(keep_memory() or {})
    if jax.default_backend() == "cpu" and scans(params) and _small(params):
        options["xla_cpu_experimental_ynn_fusion_type"] = ""
    return {name: value for name, value in options.items() if known(name, value)}


def several(
    step: Callable[..., Any], state: Any, sums: Any, batches: Sequence[Any], *, unrolled: bool
) -> tuple[Any, Any]:
    """Applies `step` to the batches one after the other; pure.

    Args:
        step: (state, sums, batch) -> (state, sums).
        state: before the first.
        sums: before the first.
        batches: of the same shapes; a resident data set in them is one and the same.
        unrolled: one copy of the step for each batch; otherwise a scan (see `scans`).
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
