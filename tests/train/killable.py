"""A small run with everything that has a memory, which kills or signals itself at a moment that is asked for.

    python killable.py WORKDIR [SIGNAL MOMENT NUMBER]

SIGNAL is KILL, TERM or INT; MOMENT is step, save, eval or compile, and NUMBER says which of them. The time of
the signal is printed. The images are shifted and turned, and streamed batch by batch; with RESIDENT=1 in the
environment they lie on the device.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import optax
from flax import linen

from jaxnets import nn, optim, train
from jaxnets.cli import commandline
from jaxnets.data import ArraySource, Batches
from jaxnets.data.augment import compose_for, parse
from jaxnets.data.device import on_device
from jaxnets.train.io import checkpoint, journal

EPOCHS = 12
journal.SAVE_SECONDS = 0.0  # a checkpoint an epoch, so that kills hit all kinds of moments


class Net(linen.Module):
    """Dropout draws, BatchNorm averages."""

    @linen.compact
    def __call__(self, x, train=False):
        x = nn.Dense(16)(x.reshape(len(x), -1))
        x = nn.Dropout(0.3)(linen.relu(nn.BatchNorm(momentum=0.9)(x, train)), train)
        return nn.Dense(3)(x)


class Moments:
    """Sends the signal when its moment has come for the given time."""

    def __init__(self, name: str = "", moment: str = "", number: str = "0"):
        self.signal = getattr(signal, f"SIG{name}") if name else None
        self.moment, self.left = moment, int(number)

    def come(self, moment: str, delay: float = 0.0) -> None:
        if self.signal is None or moment != self.moment:
            return
        self.left -= 1
        if self.left == 0:
            send = threading.Timer(delay, self._send)
            send.daemon = True
            send.start()
            if not delay:
                send.join()

    def _send(self) -> None:
        print(time.time(), flush=True)
        os.kill(os.getpid(), self.signal)


class Telling(train.Callback):
    """Tells which moment has come."""

    def __init__(self, moments: Moments):
        self.moments = moments

    def on_train_begin(self, state, history):
        self.moments.come("compile", delay=0.3)

    def on_step_end(self, state, sums):
        self.moments.come("step")


def main(workdir: Path, moments: Moments) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (150, 4, 3, 1), np.uint8)
    y = ((x.reshape(150, 12) / 255) @ rng.normal(size=(12, 3)) + rng.normal(size=(150, 3)) / 4).argmax(-1)
    learned, held_out = ArraySource(x[:101], y[:101]), ArraySource(x[101:], y[101:])
    model = Net()
    rated = optax.inject_hyperparams(lambda learning_rate: optim.OPTIMIZERS["adam"](learning_rate))
    descent = optax.chain(optim.accumulate(rated(learning_rate=0.01), 3), optim.average_weights(0.9))

    saving = checkpoint.Checkpoints.save

    def save(self, *args):
        moments.come("save", delay=0.004)  # in the midst of the background write
        saving(self, *args)
        time.sleep(0.02 if moments.moment == "save" else 0)

    checkpoint.Checkpoints.save = save
    eval_step = train.make_eval_step(model)

    def watched_eval_step(variables, batch):
        jax.debug.callback(lambda: moments.come("eval"))
        return eval_step(variables, batch)

    train.fit(
        train.make_state(model, descent, (4, 3, 1), seed=1),
        train.make_train_step(
            model,
            descent,
            augment=compose_for(learned.features, parse(("shift=0.2", "rotation=20")), "nearest"),
        ),
        on_device(Batches(learned, 8, seed=2), resident="RESIDENT" in os.environ),
        epochs=EPOCHS,
        steps_per_call=int(os.environ.get("STEPS_PER_CALL", 1)),
        validation=train.Validation(watched_eval_step, Batches(held_out, 16), variables=averaged),
        keep=train.Keep(workdir, best="val_loss"),
        callbacks=[
            Telling(moments),
            train.EarlyStopping("val_loss", patience=EPOCHS),
            train.ReduceOnPlateau("loss", factor=0.5, patience=2),
        ],
    )


def averaged(state: train.TrainState) -> dict:
    return {**state.variables, "params": optim.averaged_weights(state.opt_state)}


if __name__ == "__main__":
    where, *signals = sys.argv[1:]
    sys.argv = sys.argv[:1]
    commandline.run(lambda: main(Path(where), Moments(*signals)))
