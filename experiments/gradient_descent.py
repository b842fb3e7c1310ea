"""Gradient descent on (w + 1)^2 from w = 5, with a constant and with a decaying rate (A1, A2).

    python experiments/gradient_descent.py

Documented: w = 2.6, 1.16, 0.296 after steps 0, 1, 2 and -1 by step 31 at the learning rate 0.2; w = 2.6,
1.1744, 0.321948 with 0.2 * 0.99^step, which is 0.135146 in step 39. All lines
are printed as the document's are.
"""

from jaxnets.cli import commandline

from jaxnets import optim, plots, report, schedules

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

DOCUMENTED = {
    "w, constant rate": [2.6, 1.16, 0.296],
    "loss before each update": [36.0, 12.959999, 4.665599],
    "first step that prints w = -1.000000": 31,
    "w, decaying rate": [2.6, 1.1744, 0.321948],
    "last rate": 0.135146,
}


def descend(rate: optax.Schedule, start: float, steps: int) -> dict[str, Any]:
    """Returns w after each step, the loss before it and its rate, each (steps,)."""
    optimizer = optim.TEXTBOOK["sgd"](rate)

    def step(carry, _):
        w, state = carry
        loss, gradient = jax.value_and_grad(lambda w: jnp.square(w + 1))(w)
        updates, state = optimizer.update(gradient, state)
        w = optax.apply_updates(w, updates)
        return (w, state), (w, loss)

    w = jnp.float32(start)
    _, (path, loss) = jax.lax.scan(step, (w, optimizer.init(w)), length=steps)
    return jax.device_get({"w": path, "loss": loss, "rate": jax.vmap(rate)(jnp.arange(steps))})


def main(
    *,
    start: float = 5.0,
    learning_rate: float = 0.2,
    decay_rate: float = 0.99,
    steps: int = 40,
    workdir: Path = Path("runs/gradient_descent"),
) -> dict[str, Any]:
    """Descend twice and draw both paths.

    Args:
        start: First w.
        learning_rate: Learning rate of the first step.
        decay_rate: Factor of the learning rate after every step of the second run.
        steps: Steps of each run.
        workdir: Folder for descent.png.
    """
    rates = {"constant rate": 1.0, "decaying rate": decay_rate}
    runs = {
        name: descend(schedules.exponential_decay(learning_rate, decay), start, steps)
        for name, decay in rates.items()
    }
    for name, run in runs.items():
        print(name)
        for step, (w, loss, rate) in enumerate(zip(run["w"], run["loss"], run["rate"], strict=True)):
            told = f",lr is {rate:f}" if name == "decaying rate" else ""
            print(f"After {step} epoch,w is {w:f},loss is {loss:f}{told}")
    constant, decaying = runs.values()
    there = np.flatnonzero(np.char.mod("%.6f", constant["w"]) == "-1.000000")
    measured = {
        "w, constant rate": constant["w"][:3],
        "loss before each update": constant["loss"][:3],
        "first step that prints w = -1.000000": there[0] if len(there) else "none",
        "w, decaying rate": decaying["w"][:3],
        "last rate": decaying["rate"][-1],
    }
    report.beside(DOCUMENTED, measured)
    x, first = np.arange(steps), 12  # after which w cannot be told from -1 in a picture
    quantities = {"loss": "loss before the step", "rate": "learning rate"}
    panels: dict[str, Any] = {
        f"w in the first {first} steps": {name: (x[:first], run["w"][:first]) for name, run in runs.items()}
    }
    panels |= {label: {name: (x, run[q]) for name, run in runs.items()} for q, label in quantities.items()}
    plots.lines(panels, workdir / "descent.png", xlabel="step", logarithmic=["loss before the step"])
    return runs | measured


if __name__ == "__main__":
    commandline.run(main)
