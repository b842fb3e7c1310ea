"""The time that checkpoints and logs add to an epoch: the same training with and without them, in turns.

    python -m experiments.benchmarks.recording

First prints the share that saving every epoch adds (and, separately, TensorBoard with histograms), then the
median seconds of an epoch. The first epoch of every run, with its compilation, is left out.
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, train
from jaxnets.models import MODELS
from jaxnets.train.io import journal

import itertools
import platform
import statistics
import tempfile
import time
from importlib import metadata
from pathlib import Path

import jax
import numpy as np


def main(
    *, examples: int = 20_000, epochs: int = 4, repeats: int = 5, batch_size: int = 32
) -> dict[str, float]:
    """Time LeNet-5 on random images of 28x28.

    Args:
        examples: Examples in an epoch.
        epochs: Timed epochs in a run.
        repeats: Runs of each kind.
        batch_size: Examples in a step.
    """
    journal.SAVE_SECONDS = 0.0  # a checkpoint after every epoch, however short
    rng = np.random.default_rng(0)
    source = data.ArraySource(
        rng.integers(0, 256, (examples, 28, 28, 1), np.uint8), rng.integers(0, 10, examples)
    )
    model, descent = MODELS["lenet5"](), optim.OPTIMIZERS["adam"](1e-3)
    step, batches = train.make_train_step(model, descent), data.Batches(source, batch_size, seed=0)

    def seconds(workdir: Path | None, callbacks: list) -> list[float]:
        """Wall seconds from one epoch's end to the next: what happens between epochs counts."""
        ends: list[float] = []

        class Clock(train.Callback):
            def on_epoch_begin(self, state: train.TrainState, history: object) -> None:
                ends.append(time.perf_counter())

        state = train.make_state(model, descent, (28, 28, 1))
        watching = [*callbacks, Clock()]
        train.fit(state, step, batches, epochs=epochs + 2, keep=train.Keep(workdir), callbacks=watching)
        return [after - before for before, after in itertools.pairwise(ends[1:])]

    times: dict[str, list[float]] = {"plain": [], "checkpoints": [], "TensorBoard": []}
    for _number in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            times["plain"] += seconds(None, [])
            times["checkpoints"] += seconds(Path(folder) / "run", [])
            times["TensorBoard"] += seconds(None, [train.TensorBoard(Path(folder) / "tb")])
    middle = {name: statistics.median(values) for name, values in times.items()}
    for name in ("checkpoints", "TensorBoard"):
        print(f"{name} add {middle[name] / middle['plain'] - 1:+.1%} to an epoch")
    for name, value in middle.items():
        print(f"  {name:12} {value:.3f} s an epoch of {examples:,} examples, median of {len(times[name])}")
    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("jax", "orbax-checkpoint", "tensorboardX")
    )
    print(f"{platform.machine()}, {jax.default_backend()}, Python {platform.python_version()}, {versions}")
    return middle


if __name__ == "__main__":
    commandline.run(main)
