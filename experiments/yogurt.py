"""How much yogurt to make: linear regression with squared error, then with the course's own cost (A7, A8).

    python experiments/yogurt.py

Documented: w = [1.0009792, 0.9977485] for the squared error after 15,000 steps; [1.1626335, 1.1191947] after
10,000 steps if a piece too many costs 1 and a piece too few costs 99 (make more), and [0.9205433, 0.9186459]
with the two swapped (make less). The weights are printed every 500 steps as the document prints them; the
first ones are derived: they are what TensorFlow draws with the document's seed, 1, and stand in no document.
"""

from jaxnets.cli import commandline

from jaxnets import losses, optim, plots, report

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {
    "squared error": [1.0009792, 0.9977485],
    "cost 1, profit 99": [1.1626335, 1.1191947],
    "cost 99, profit 1": [0.9205433, 0.9186459],
}


def sales() -> tuple[np.ndarray, np.ndarray]:
    """32 days of x1, x2 in [0, 1) and y = x1 + x2 with noise of up to 0.05: float32 (32, 2), (32,)."""
    random = np.random.RandomState(23455)
    x = random.rand(32, 2)
    y = [x1 + x2 + (random.rand() / 10.0 - 0.05) for x1, x2 in x]
    return x.astype(np.float32), np.array(y, np.float32)


def fit(
    loss: Callable[..., jax.Array], start: tuple[float, float], learning_rate: float, steps: int
) -> np.ndarray:
    """Gradient descent on the sum of loss(predictions, targets): w after each step, (steps, 2).

    The asymmetric cost ends in a zigzag where the last bits decide on which side of a day the next step
    lands, so the sum is rounded as the document's TensorFlow rounded it: day after day, and the step before
    it is subtracted. (Left to itself, XLA fuses a multiplication with the addition that follows.)
    """
    x, y = sales()
    optimizer = optim.TEXTBOOK["sgd"](learning_rate)

    def daily(w, x, y):
        return loss((x @ w)[None], y[None])[0]

    def step(carry, _):
        w, update, state = carry
        w = w + update
        gradients = jax.vmap(jax.grad(daily), (None, 0, 0))(w, x, y)
        total, _ = jax.lax.scan(lambda sum_, g: (sum_ + g, None), jnp.zeros(2), gradients, unroll=8)
        update, state = optimizer.update(total, state)
        return (w, update, state), w

    w = jnp.array(start, jnp.float32)
    first = (w, jnp.zeros(2), optimizer.init(w))
    _, path = jax.jit(lambda first: jax.lax.scan(step, first, length=steps + 1))(first)
    return np.asarray(path)[1:]


def print_steps(path: np.ndarray) -> None:
    """The document's lines: the weights after every 500th step, and the last ones."""
    for step in range(0, len(path), 500):
        print(f"After {step} training steps,w1 is \n{path[step][:, None]} \n")
    print(f"Final w1 is:  {path[-1][:, None]}")


def main(
    *,
    learning_rate: float = 0.002,
    steps: int = 15_000,
    asymmetric_steps: int = 10_000,
    start: tuple[float, float] = (-0.8113182, 1.4845988),
    workdir: Path = Path("runs/yogurt"),
) -> dict[str, Any]:
    """Fit three times and draw the paths of the weights.

    Args:
        learning_rate: Learning rate of all three fits.
        steps: Steps with the squared error.
        asymmetric_steps: Steps with each asymmetric cost.
        start: First weights; the default is what TensorFlow draws with the document's seed (derived).
        workdir: Folder for weights.png.
    """
    cost = losses.asymmetric_cost
    paths = {
        "squared error": fit(lambda y, t: losses.mean_squared_error(y, t) / 32, start, learning_rate, steps),
        "cost 1, profit 99": fit(partial(cost, cost=1, profit=99), start, learning_rate, asymmetric_steps),
        "cost 99, profit 1": fit(partial(cost, cost=99, profit=1), start, learning_rate, asymmetric_steps),
    }
    for name, path in paths.items():
        print(f"\n{name}")
        print_steps(path)
    print()
    measured = {name: path[-1] for name, path in paths.items()}
    report.beside(DOCUMENTED, measured)
    panels = {
        f"w{i + 1}": {name: (np.arange(1, len(path), 50), path[1::50, i]) for name, path in paths.items()}
        for i in (0, 1)
    }
    plots.lines(panels, workdir / "weights.png", xlabel="step")
    return measured | {"paths": paths}


if __name__ == "__main__":
    commandline.run(main)
