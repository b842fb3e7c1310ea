"""What Keras itself reaches in documented trainings on small images, on the same copy of the data.

    KERAS_BACKEND=jax python -m experiments.benchmarks.keras_figures --only C1 B2 --data-dir DATA_DIR

If Keras is as far from the document as jaxnets, the data differ and not the code. Keras takes the network of
the parity tests, bytes / 255, the recipe of the row's script, and batches in an order of its own. What it
reaches is kept in results/keras.json beside the page of results.
"""

from jaxnets.cli import commandline

from experiments.catalogue import ROWS
from experiments.results_page import KERAS
from jaxnets import data, models
from jaxnets.errors import lookup
from jaxnets.files import complete
from tests.keras_twins import KERAS_MODELS

import json
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


class Recipe(NamedTuple):
    """How a row trains its network; with `steps`, each takes images drawn with replacement."""

    model: str
    batch_size: int = 32
    epochs: int = 5
    optimizer: Any = keras.optimizers.Adam
    learning_rate: float = 1e-3
    steps: int | None = None


RECIPES = {
    "B2": Recipe("mlp"),
    "C1": Recipe("baseline"),
    "C2": Recipe("lenet5_sigmoid"),
    "C3": Recipe("alexnet8"),
    "C4": Recipe("vgg16_cifar"),
    "C5": Recipe("inception10", batch_size=1024),
    "E2": Recipe("lenet5", epochs=8, optimizer=keras.optimizers.SGD, learning_rate=0.01),
    "E4": Recipe("cnn", batch_size=50, epochs=1, steps=1001),
}


def main(
    *,
    only: tuple[str, ...] = ("C1", "C2"),
    seeds: tuple[int, ...] = (0, 1, 2),
    copy: str = "_jpeg",
    data_dir: Path | None = None,
    page: Path = Path("docs"),
) -> dict[str, Any]:
    """Train the Keras networks of these rows, and keep what they reach.

    Args:
        only: Rows of the catalogue: B2, C1 to C5, E2 or E4.
        seeds: Seeds of the first weights and the order of the images.
        copy: What follows the name of a row's data set in that of the prepared one.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        page: Folder of the page of results.
    """
    path = page / KERAS
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in only:
        recipe = lookup(RECIPES, name, "row that can be trained here")
        examples = data.load(ROWS[name].options["dataset"] + copy, data_dir=data_dir)
        train, test = (part[np.arange(len(part))] for part in (examples.train, examples.test))
        found = [train_one(recipe, train, test, seed) for seed in seeds]
        length = {"steps": recipe.steps} if recipe.steps else {"epochs": recipe.epochs}
        kept[name] = {"keras": keras.__version__, "backend": BACKENDS[keras.backend.backend()]}
        kept[name] |= {"dataset": examples.name, "seeds": list(seeds), **length}
        kept[name] |= {figure: [one[figure] for one in found] for figure in found[0]}
        with complete(path) as part:
            part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(name, kept[name])
    return kept


def train_one(recipe: Recipe, train: Any, test: Any, seed: int) -> dict[str, float]:
    """What one training reaches in its last epoch: losses and accuracies."""
    keras.utils.set_random_seed(seed)
    rate = getattr(models.MODELS[recipe.model](), "dropout", 0.0)
    options = {"dropout": rate} if rate else {}
    network = KERAS_MODELS[recipe.model](train["x"].shape[1:], **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(recipe.optimizer(recipe.learning_rate), loss, metrics=["accuracy"])
    if recipe.steps:
        drawn = np.random.default_rng(seed).integers(0, len(train["y"]), recipe.steps * recipe.batch_size)
        train = {key: values[drawn] for key, values in train.items()}
    history = network.fit(
        train["x"] / np.float32(255),
        train["y"],
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        validation_data=(test["x"] / np.float32(255), test["y"]),
        verbose=0,
    )
    return {figure: round(values[-1], 4) for figure, values in history.history.items()}


if __name__ == "__main__":
    commandline.run(main)
