"""L2 regularization: 300 points inside or outside a circle, learned with and without it (A10).

    python experiments/regularization.py                 # new random points
    python experiments/regularization.py --data dot.csv  # the course's own file: x1,x2,y_c

A 2-11-1 ReLU network, squared error, SGD 0.01, batches of 32 in file order, 400 epochs; the penalty is
0.03 * sum(w^2) / 2 on both kernels. Documented: the loss of the last batch is 0.0228 without and 0.1235 with
the penalty in epoch 380, and the 0.5 contour is visibly smoother with it.
"""

from jaxnets.cli import commandline

from jaxnets import losses, optim, plots, report
from jaxnets.course.scan import make_training
from jaxnets.data import ArraySource, Batches
from jaxnets.errors import UserError

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {"loss without": 0.02281313, "loss with L2": 0.12349270}
GRID = np.arange(-3, 3, 0.1)


def points(path: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 2) and labels (N,) of 0 and 1, from a file `x1,x2,y_c` or as that file was made."""
    if path is None:
        print(
            "no --data: 300 normal points drawn anew, class 1 where x1^2 + x2^2 < 2 (the rule behind dot.csv)"
        )
        x = np.random.RandomState(2).randn(300, 2)
        return x.astype(np.float32), (np.square(x).sum(axis=1) < 2).astype(np.int32)
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32, ndmin=2, encoding="utf-8")
        return table[:, :2], table[:, 2].astype(np.int32)
    except (OSError, ValueError, IndexError) as error:
        raise UserError(
            f"--data {path}: it must be a CSV file with the header x1,x2,y_c ({error})"
        ) from error


def init(key: jax.Array) -> dict[str, dict[str, jax.Array]]:
    """Normal kernels, biases 0.01."""
    hidden, output = jax.random.split(key)
    return {
        "hidden": {"kernel": jax.random.normal(hidden, (2, 11)), "bias": jnp.full(11, 0.01)},
        "output": {"kernel": jax.random.normal(output, (11, 1)), "bias": jnp.full(1, 0.01)},
    }


def network(params: dict[str, dict[str, jax.Array]], x: jax.Array) -> jax.Array:
    """(batch, 2) -> (batch,)."""
    hidden = jax.nn.relu(x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])
    return (hidden @ params["output"]["kernel"] + params["output"]["bias"][None])[:, 0]


def main(
    *,
    data: Path | None = None,
    l2: float = 0.03,
    learning_rate: float = 0.01,
    epochs: int = 400,
    batch_size: int = 32,
    seed: int = 0,
    workdir: Path = Path("runs/regularization"),
) -> dict[str, Any]:
    """Train twice from the same start and draw the decision boundary of each network.

    Args:
        data: A CSV file of points, x1,x2,y_c. By default new random points.
        l2: Weight of sum(w^2) / 2.
        learning_rate: Learning rate of SGD.
        epochs: Passes over the points.
        batch_size: Points in a step.
        seed: Seed of the first weights.
        workdir: Folder for contours.png.
    """
    x, y = points(data)
    optimizer = optim.OPTIMIZERS["sgd"](learning_rate)

    def loss(params, batch, strength):
        errors = losses.mean_squared_error(network(params, batch["x"]), batch["y"])
        penalty = losses.l1_l2_penalty(params, l2=strength / 2)
        return losses.masked_mean(errors, batch["mask"]) + penalty

    grid = jnp.stack(jnp.meshgrid(GRID, GRID, indexing="ij"), axis=-1).reshape(-1, 2)
    measured: dict[str, Any] = {}
    surfaces = {}
    for name, strength in {"without": 0.0, "with L2": l2}.items():
        batches = Batches(ArraySource(x, y), batch_size).epoch()
        training = make_training(partial(loss, strength=strength), optimizer, batches, epochs)
        params, history, _ = training(init(jax.random.key(seed)))
        surfaces[name] = np.asarray(network(params, grid)).reshape(len(GRID), -1)
        correct = np.mean((network(params, jnp.asarray(x)) > 0.5) == y)
        norm = losses.l1_l2_penalty(params, l2=1.0)
        measured |= {
            f"loss {name}": history[(epochs - 1) // 20 * 20, -1],
            f"accuracy {name}": correct,
            f"sum(w^2) {name}": norm,
        }
    report.beside(DOCUMENTED, measured)
    print(", ".join(f"{name} {value:.3f}" for name, value in measured.items() if name not in DOCUMENTED))
    plots.decision(surfaces, GRID, x, y, workdir / "contours.png")
    return measured | {"dataset": data.name if data else "drawn anew"}


if __name__ == "__main__":
    commandline.run(main)
