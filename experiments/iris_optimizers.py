"""Iris with one layer, trained by five optimizers written as the course's formulas (A11, A12).

    python experiments/iris_optimizers.py

4-3 softmax, squared error on one-hot labels, truncated normal 0.1, learning rate 0.1, batches of 32 in the
order of the seed-116 shuffle, 500 epochs; the last 30 rows are the test set. Documented: curves of SGD, whose
test accuracy ends at 1.0 (derived: no figure is printed), and 12.7, 17.3, 13.1, 16.4, 22.0 seconds (82
together).

As written in the course, RMSProp divides 0 by 0 before the end and all weights become nan: once a class is
certain, its gradient is 0, and the mean of squares decays to 0. Here such a weight does not change.
"""

from jaxnets.cli import commandline

from jaxnets import data, losses, metrics, optim, plots, report
from jaxnets.course.scan import make_training

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

NAMES = ("sgd", "sgdm", "adagrad", "rmsprop", "adam")
SECONDS = dict(zip(NAMES, (12.7, 17.3, 13.1, 16.4, 22.0), strict=True))
DOCUMENTED = {"test accuracy of sgd": 1.0} | {f"seconds of {name}": SECONDS[name] for name in NAMES}
DERIVED = ("test accuracy of sgd",)

Params = dict[str, jax.Array]


def network(params: Params, x: jax.Array) -> jax.Array:
    """(batch, 4) -> probabilities (batch, 3)."""
    return jax.nn.softmax(x @ params["kernel"] + params["bias"][None])


def init(key: jax.Array) -> Params:
    """Truncated normal, standard deviation 0.1, for both."""
    kernel, bias = jax.random.split(key)
    draw = jax.random.truncated_normal
    return {"kernel": 0.1 * draw(kernel, -2, 2, (4, 3)), "bias": 0.1 * draw(bias, -2, 2, (3,))}


def train(
    optimizer: optax.GradientTransformation, params: Params, iris: data.Dataset, epochs: int, batch_size: int
) -> dict[str, Any]:
    """Returns "loss" and "accuracy" on the test set after each epoch (epochs,), and the last "params".

    The loss of an epoch is the mean of its batches' means, as the course computes it.
    """
    test = jax.tree.map(jnp.asarray, next(data.Batches(iris.test, len(iris.test)).epoch()))

    def loss(params, batch):
        errors = losses.mean_squared_error(network(params, batch["x"]), jax.nn.one_hot(batch["y"], 3))
        return losses.masked_mean(errors, batch["mask"])

    def test_accuracy(params):
        return jnp.mean(metrics.accuracy(network(params, test["x"]), test["y"]))

    batches = data.Batches(iris.train, batch_size).epoch()
    training = make_training(loss, optimizer, batches, epochs, watch=test_accuracy)
    params, values, accuracy = jax.device_get(training(params))
    return {"loss": values.mean(axis=1), "accuracy": accuracy, "params": params}


def main(
    *,
    epochs: int = 500,
    batch_size: int = 32,
    learning_rate: float = 0.1,
    seed: int = 0,
    workdir: Path = Path("runs/iris_optimizers"),
) -> dict[str, Any]:
    """Train five times from the same start and draw the comparison.

    Args:
        epochs: Passes over the 120 training rows.
        batch_size: Rows in a step.
        learning_rate: Learning rate of all five.
        seed: Seed of the first weights.
        workdir: Folder for sgd.png and optimizers.png.
    """
    iris, params, runs = data.load("iris"), init(jax.random.key(seed)), {}
    for name in NAMES:
        start = time.perf_counter()
        runs[name] = train(optim.TEXTBOOK[name](learning_rate), params, iris, epochs, batch_size)
        runs[name]["seconds"] = round(time.perf_counter() - start, 2)
    measured: dict[str, Any] = {"test accuracy of sgd": runs["sgd"]["accuracy"][-1]}
    measured |= {f"seconds of {name}": run["seconds"] for name, run in runs.items()}
    report.beside(DOCUMENTED, measured, derived=DERIVED)
    print(f"together {sum(run['seconds'] for run in runs.values()):.1f} s")
    for name, run in runs.items():
        print(f"{name:<8} training loss {run['loss'][-1]:.4f}, test accuracy {run['accuracy'][-1]:.4f}")
    print("rmsprop: weights whose mean square has decayed to 0 stand still; the course's script ends in nan")
    x, sgd = np.arange(epochs), runs["sgd"]
    panels = {"training loss": {"sgd": (x, sgd["loss"])}, "test accuracy": {"sgd": (x, sgd["accuracy"])}}
    plots.lines(panels, workdir / "sgd.png", xlabel="epoch")
    plots.race(runs, workdir / "optimizers.png")
    return measured | {"runs": runs, "dataset": iris.name}


if __name__ == "__main__":
    commandline.run(main)
