"""A trace of a few steps, for TensorBoard's profiler or Perfetto (ui.perfetto.dev)."""

from pathlib import Path
from typing import Any

import jax

from jaxnets.train.fit import Callbacks
from jaxnets.train.state import TrainState

WARM_UP = 2  # steps before the trace: the first compiles


def profile(folder: Path, steps: int) -> Callbacks:
    """Returns callbacks for `fit` that trace so many steps, after the first two of this process.

    Args:
        folder: where the trace goes.
        steps: how many "step_end" moments to trace.
    """
    seen = 0

    def step_end(state: TrainState, sums: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == WARM_UP:
            jax.block_until_ready(sums)
            jax.profiler.start_trace(str(folder), create_perfetto_trace=True)
        elif seen == WARM_UP + steps:
            jax.block_until_ready(sums)
            jax.profiler.stop_trace()

    def end(state: TrainState, history: Any) -> None:
        if WARM_UP <= seen < WARM_UP + steps:  # the run was shorter than asked for
            jax.profiler.stop_trace()

    return {"step_end": step_end, "train_end": end}
