"""A small run with everything that has a memory, which kills or signals itself at a moment that is asked for.

    python killable.py WORKDIR [SIGNAL MOMENT NUMBER]

SIGNAL is KILL, TERM or INT; MOMENT is step, save, eval or compile, and NUMBER says which of them.
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

from jaxnets import commandline, nn, optim, train
from jaxnets.data import ArraySource, Batches
from jaxnets.train import checkpoint, journal

EPOCHS = 12
journal.SAVE_SECONDS = 0.0  # a checkpoint an epoch, so that kills hit all kinds of moments


class Net(linen.Module):
    """Dropout draws, BatchNorm averages."""

    @linen.compact
    def __call__(self, x, train=False):
        x = nn.Dropout(0.3)(linen.relu(nn.BatchNorm(momentum=0.9)(nn.Dense(16)(x), train)), train)
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
            send = threading.Timer(delay, os.kill, (os.getpid(), self.signal))
            send.daemon = True
            send.start()
            if not delay:
                send.join()


def main(workdir: Path, moments: Moments) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 8)).astype(np.float32)
    y = (x @ rng.normal(size=(8, 3)) + rng.normal(size=(150, 3))).argmax(-1)
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
        train.make_state(model, descent, (8,), seed=1),
        train.make_train_step(model, descent),
        Batches(ArraySource(x[:101], y[:101]), 8, seed=2),
        epochs=EPOCHS,
        eval_step=watched_eval_step,
        validation=Batches(ArraySource(x[101:], y[101:]), 16),
        evaluated=lambda state: {**state.variables, "params": optim.averaged_weights(state.opt_state)},
        workdir=workdir,
        best="val_loss",
        stop=train.early_stopping("val_loss", patience=EPOCHS),
        callbacks=[
            {
                "train_begin": lambda *_: moments.come("compile", delay=0.3),
                "step_end": lambda *_: moments.come("step"),
                "epoch_end": train.reduce_on_plateau("loss", factor=0.5, patience=2),
            }
        ],
    )


if __name__ == "__main__":
    where, *signals = sys.argv[1:]
    sys.argv = sys.argv[:1]
    commandline.run(lambda: main(Path(where), Moments(*signals)))
