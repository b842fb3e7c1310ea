"""Times the five trainings of experiments/iris_optimizers.py (A12) and the same loops in other frameworks.

    python -m experiments.benchmarks.small_trainings

First prints how many times as fast jaxnets is, then the median seconds of 500 epochs, including compilation:

- jaxnets: the whole training as one compiled scan,
- Keras: `model.fit` on whatever backend is active, with validation after every epoch,
- TensorFlow: the course's own eager loop, formula by formula.

Keras and TensorFlow are left out where they are not installed. Measured: docs/developing/speed.md.
"""

from jaxnets.cli import commandline

from experiments import iris_optimizers
from jaxnets import data, machine, optim

import importlib
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata

import jax
import numpy as np

RATE, BATCH = 0.1, 32
Params = dict[str, jax.Array]


def in_jaxnets(name: str, epochs: int, iris: data.Dataset, start: Params) -> None:
    """One compiled program, a new one each time: compilation counts."""
    iris_optimizers.train(optim.TEXTBOOK[name](RATE), start, iris, epochs, BATCH)


def in_keras(name: str, epochs: int, iris: data.Dataset, start: Params) -> None:
    """The recipe of chapter 3: Sequential, compile, fit."""
    import keras

    optimizers = {
        "sgd": keras.optimizers.SGD,
        "sgdm": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "adagrad": keras.optimizers.Adagrad,
        "rmsprop": keras.optimizers.RMSprop,
        "adam": keras.optimizers.Adam,
    }
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.set_weights([np.asarray(start[key]) for key in ("kernel", "bias")])
    model.compile(optimizers[name](RATE), loss="mse", metrics=["accuracy"])
    (x, y), test = rows(iris.train, one_hot=True), rows(iris.test, one_hot=True)
    model.fit(x, y, BATCH, epochs, validation_data=test, shuffle=False, verbose=0)


def in_tensorflow(name: str, epochs: int, iris: data.Dataset, start: Params) -> None:
    """The course's loop as it stands there: eager, a tape a step, the formulas written out."""
    import tensorflow as tf

    variables = [tf.Variable(np.asarray(start[key])) for key in ("kernel", "bias")]
    m, v = ([tf.zeros_like(variable) for variable in variables] for _ in range(2))
    train_db = tf.data.Dataset.from_tensor_slices(rows(iris.train)).batch(BATCH)
    test_db = tf.data.Dataset.from_tensor_slices(rows(iris.test)).batch(BATCH)
    t = 0
    for _ in range(epochs):
        for x, y in train_db:
            t += 1
            with tf.GradientTape() as tape:
                output = tf.nn.softmax(tf.matmul(x, variables[0]) + variables[1])
                loss = tf.reduce_mean(tf.square(tf.one_hot(y, depth=3) - output))
            loss.numpy()
            for i, g in enumerate(tape.gradient(loss, variables)):
                step = g
                if name in ("sgdm", "adam"):
                    m[i] = 0.9 * m[i] + 0.1 * g
                    step = m[i]
                if name == "adagrad":
                    v[i] += tf.square(g)
                    step = g / tf.sqrt(v[i])
                elif name == "rmsprop":
                    v[i] = 0.9 * v[i] + 0.1 * tf.square(g)
                    step = g / tf.sqrt(v[i])
                elif name == "adam":
                    v[i] = 0.999 * v[i] + 0.001 * tf.square(g)
                    step = (m[i] / (1 - 0.9**t)) / tf.sqrt(v[i] / (1 - 0.999**t))
                variables[i].assign_sub(RATE * step)
        for x, y in test_db:
            predicted = tf.argmax(tf.nn.softmax(tf.matmul(x, variables[0]) + variables[1]), axis=1)
            int(tf.reduce_sum(tf.cast(tf.equal(predicted, tf.cast(y, tf.int64)), tf.int32)))


CONTESTANTS = {"jaxnets": in_jaxnets, "keras": in_keras, "tensorflow": in_tensorflow}


def rows(part: data.Source, one_hot: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """All inputs and labels of a data set's part."""
    batch = next(data.Batches(part, len(part)).epoch())
    return batch["x"], np.eye(3, dtype=np.float32)[batch["y"]] if one_hot else batch["y"]


def median_seconds(run: Callable[[], None], repeats: int) -> float:
    """Of several runs, by the wall clock."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(
    *, epochs: int = 500, repeats: int = 3, others: tuple[str, ...] = ("keras", "tensorflow")
) -> dict[str, dict[str, float]]:
    """Time all five optimizers in every framework.

    Args:
        epochs: Epochs of each training.
        repeats: Repetitions of each measurement; the median counts.
        others: Frameworks to compare with, if they are installed.
    """
    installed = [name for name in others if importlib.util.find_spec(name)]
    start = iris_optimizers.init(jax.random.key(0))
    iris, names = data.load("iris"), iris_optimizers.NAMES
    times = {
        who: {
            name: median_seconds(partial(CONTESTANTS[who], name, epochs, iris, start), repeats)
            for name in names
        }
        for who in ("jaxnets", *installed)
    }
    together = {who: sum(of.values()) for who, of in times.items()}
    for who in installed:
        print(f"{together[who] / together['jaxnets']:.0f} times as fast as {who}")
    print(f"{'seconds':<10}" + "".join(f"{who:>12}" for who in times))
    for name in names:
        print(f"{name:<10}" + "".join(f"{of[name]:>12.2f}" for of in times.values()))
    print(f"{'together':<10}" + "".join(f"{seconds:>12.2f}" for seconds in together.values()))
    versions = [f"{name} {metadata.version(name)}" for name in ("jax", "optax")]
    for who in installed:
        module = importlib.import_module(who)
        versions.append(f"{who} {module.__version__}")
    if "keras" in installed:
        versions.append(f"(backend {importlib.import_module('keras').backend.backend()})")
    print(f"median of {repeats}, {epochs} epochs each; {machine.hardware()}")
    print(f"JAX on {jax.default_backend()}, Python {platform.python_version()}, " + ", ".join(versions))
    return times


if __name__ == "__main__":
    commandline.run(main)
