"""What `fit` compiles: one or several guarded steps, with the options of the device that they run on."""

from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh

from jaxnets.platforms import on_platform
from jaxnets.train.nonfinite import guarded
from jaxnets.train.sharding import sharded
from jaxnets.train.step import TrainStep
from jaxnets.train.steps_per_call import can_scan, compiler_options, run_steps


def make_program(
    train_step: TrainStep, params: Any, platform: str, *, skip: bool = False, mesh: Mesh | None = None
) -> Any:
    """Returns (state, sums, batches) -> (state, sums), compiled when first called; both first are given up.

    Args:
        train_step: A pure step, as `make_train_step` returns it.
        params: The network's parameters, or their shapes.
        platform: Platform of the devices: "cpu", "gpu", "tpu".
        skip: Leave steps out that are not finite. By default no step is taken after the first such.
        mesh: The devices, where there are several.
    """
    step = sharded(partial(guarded, train_step, skip), mesh)
    unrolled = not can_scan(params, platform)

    def train_steps(state: Any, sums: Any, batches: Any) -> tuple[Any, Any]:
        with on_platform(platform):
            return run_steps(step, state, sums, batches, unrolled=unrolled)

    return jax.jit(train_steps, donate_argnums=(0, 1), compiler_options=compiler_options(params, platform))
