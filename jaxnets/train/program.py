"""What `fit` compiles: one or several guarded steps, with the options of the device that they run on."""

from functools import lru_cache, partial
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
    options = tuple(compiler_options(params, platform).items())
    given: tuple[Any, ...] = (train_step, platform, skip, mesh, not can_scan(params, platform), options)
    try:
        hash(given)
    except TypeError:  # a step of the caller's own that cannot be a key
        return _program.__wrapped__(*given)
    return _program(*given)


@lru_cache(maxsize=4)  # a second `fit` with the same step, as in a notebook, does not compile it again
def _program(
    train_step: TrainStep,
    platform: str,
    skip: bool,
    mesh: Mesh | None,
    unrolled: bool,
    options: tuple[tuple[str, Any], ...],
) -> Any:
    step = sharded(partial(guarded, train_step, skip), mesh)

    def train_steps(state: Any, sums: Any, batches: Any) -> tuple[Any, Any]:
        with on_platform(platform):
            return run_steps(step, state, sums, batches, unrolled=unrolled)

    return jax.jit(train_steps, donate_argnums=(0, 1), compiler_options=dict(options))
