"""A trace of a few steps, for TensorBoard's profiler or Perfetto (ui.perfetto.dev)."""

from pathlib import Path
from typing import Any

import jax

from jaxnets.errors import UserError, reason
from jaxnets.train.callback import Callback
from jaxnets.train.state import TrainState

WARM_UP = 2  # steps before the trace: the first compiles


class Profile(Callback):
    """Traces a few steps, after the first two of this process.

    Args:
        folder: Folder for the trace.
        steps: Number of calls of the compiled step to trace.
    """

    def __init__(self, folder: Path | str, steps: int):
        self.folder, self.steps, self._seen = Path(folder), steps, 0

    def on_step_end(self, state: TrainState, sums: Any) -> None:
        """Starts the trace after the second step, and ends it after `steps` more."""
        self._seen += 1
        if self._seen == WARM_UP:
            jax.block_until_ready(sums)
            jax.profiler.start_trace(str(self.folder), create_perfetto_trace=True)
        elif self._seen == WARM_UP + self.steps:
            jax.block_until_ready(sums)
            self._stop()

    def on_train_end(self, state: TrainState, history: Any) -> None:
        """Ends the trace of a run that is shorter than the trace."""
        if WARM_UP <= self._seen < WARM_UP + self.steps:
            self._stop()

    def _stop(self) -> None:
        """Writes the trace."""
        try:
            jax.profiler.stop_trace()
        except (OSError, jax.errors.JaxRuntimeError) as error:
            raise UserError(f"cannot write a trace in {self.folder} ({reason(error)}): make room") from error
