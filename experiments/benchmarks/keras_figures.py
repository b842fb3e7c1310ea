"""What Keras itself reaches in the documented trainings of small images, on the same copy of the data.

    KERAS_BACKEND=jax python -m experiments.benchmarks.keras_figures --only C1 C2 --data-dir DATA_DIR

If Keras is as far from the document as jaxnets, the data differ and not the code. Keras takes the network of
the parity tests, the batches in an order of its own and the recipe of cifar10.py: Adam 0.001, batches of 32
(Inception 1,024), bytes / 255, 5 epochs. What it reaches is kept in results/keras.json beside the page of
results.
"""

from jaxnets.cli import commandline

from experiments.catalogue import ROWS
from experiments.cifar10 import SYSTEMS
from experiments.results_page import KERAS
from jaxnets import data, models
from jaxnets.errors import UserError, lookup
from jaxnets.files import complete
from tests.keras_twins import KERAS_MODELS

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np


def main(
    *,
    only: tuple[str, ...] = ("C1", "C2"),
    seeds: tuple[int, ...] = (0, 1, 2),
    epochs: int = 5,
    dataset: str = "cifar10_jpeg",
    data_dir: Path | None = None,
    page: Path = Path("docs"),
) -> dict[str, Any]:
    """Train the Keras networks of these rows, and keep what they reach.

    Args:
        only: Rows of the catalogue, of C1 to C5.
        seeds: Seeds of the first weights and the order of the images.
        epochs: Passes over the training images.
        dataset: Name of a prepared data set of images.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        page: Folder of the page of results.
    """
    path, examples = page / KERAS, data.load(dataset, data_dir=data_dir)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    train, test = (part[np.arange(len(part))] for part in (examples.train, examples.test))
    for name in only:
        row = lookup(ROWS, name, "row")
        system = SYSTEMS.get(row.options.get("model", ""))
        of_cifar10 = row.script == "cifar10" and row.options.get("dataset") == "cifar10"
        if system is None or not of_cifar10 or system.penalty or system.options:
            raise UserError(f"{name}: only C1 to C5 can be trained here, whose recipe has no more to it")
        found = [train_one(system, train, test, seed, epochs) for seed in seeds]
        kept[name] = {"keras": keras.__version__, "dataset": dataset, "seeds": list(seeds), "epochs": epochs}
        kept[name] |= {figure: [one[figure] for one in found] for figure in found[0]}
        with complete(path) as part:
            part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(name, kept[name])
    return kept


def train_one(system: Any, train: Any, test: Any, seed: int, epochs: int) -> dict[str, float]:
    """What one training reaches in its last epoch: losses and accuracies."""
    keras.utils.set_random_seed(seed)
    rate = getattr(models.MODELS[system.model](), "dropout", None)
    options = {} if rate is None else {"dropout": rate}
    network = KERAS_MODELS[system.model](train["x"].shape[1:], **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    history = network.fit(
        train["x"] / np.float32(255),
        train["y"],
        batch_size=system.batch_size,
        epochs=epochs,
        validation_data=(test["x"] / np.float32(255), test["y"]),
        verbose=0,
    )
    return {figure: round(values[-1], 4) for figure, values in history.history.items()}


if __name__ == "__main__":
    commandline.run(main)
