"""A convolutional network of 3.3 million parameters on handwritten digits, trained in three ways (E4, E6).

    python experiments/cnn_mnist.py
    python experiments/cnn_mnist.py --variant dropout
    python experiments/cnn_mnist.py --variant dropout_epochs

32 and 64 filters of 5x5, pooling, 1,024 units, cross-entropy, Adam:

    drawn            E4: 0.001, 1,001 steps of 50 images, drawn with replacement
    dropout          E6: 0.0001, 2,000 steps of 100 images, half of the units dropped, kernels that start from
                     a truncated normal of 0.01 and biases from 0.1; evaluated every 50 steps
    dropout_epochs   E6 in Keras: 0.0001, 10 epochs in batches of 64, half of the units dropped

Documented: 3,274,634 parameters; accuracy on the test images 0.9792 for E4, none printed for E6. (E6 sums the
losses of a batch where the others take their mean, which makes no difference to Adam's steps.) E6's document
holds 5,000 training images back; here all are trained on.
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, runs, train
from jaxnets.errors import lookup

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax


class Variant(NamedTuple):
    """One of the documents' trainings, with a record after `every` steps or, by default, a whole pass."""

    documented: Mapping[str, float]
    learning_rate: float
    batch_size: int
    epochs: int
    every: int | None = None
    replacement: bool = False
    options: Mapping[str, Any] = {}


PARAMETERS = {"parameters": 3_274_634}
SMALL = {
    "kernel_init": jax.nn.initializers.truncated_normal(0.01),
    "bias_init": jax.nn.initializers.constant(0.1),
}
VARIANTS = {
    "drawn": Variant(PARAMETERS | {"val_accuracy": 0.9792}, 1e-3, 50, 11, every=91, replacement=True),
    "dropout": Variant(PARAMETERS, 1e-4, 100, 40, every=50, options={"dropout": 0.5, **SMALL}),
    "dropout_epochs": Variant(PARAMETERS, 1e-4, 64, 10, options={"dropout": 0.5}),
}
DOCUMENTED = {name: variant.documented for name, variant in VARIANTS.items()}


def main(
    *,
    variant: str = "drawn",
    dataset: str = "mnist",
    epochs: int | None = None,
    seed: int = 0,
    workdir: Path | None = None,
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train the network in one of the three ways; the same command again continues the run.

    Args:
        variant: drawn, dropout or dropout_epochs.
        dataset: Name of a data set of images. If it is not available, digits are used instead.
        epochs: Number of evaluations on the test images in all, one after every 91 steps, 50 steps or pass
            over the training images. By default 11, 40 or 10.
        seed: Seed of the first weights, the order of the images and dropout.
        workdir: The run's folder. By default runs/cnn_mnist/VARIANT-DATASET.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    chosen = lookup(VARIANTS, variant, "variant")
    examples = data.at_hand(dataset, data_dir)
    # 2. network
    network = runs.make_model("cnn", examples.features, **chosen.options)
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](chosen.learning_rate)
    # 4. fit
    epochs = epochs or chosen.epochs
    config = runs.describe("cnn", examples) | {"variant": variant, "seed": seed, "epochs": epochs}
    workdir = runs.open_folder(workdir, f"cnn_mnist/{variant}-{examples.name}", config)
    state, history = train.fit(
        train.make_state(network, optimizer, examples.features.shape, seed),
        train.make_train_step(network, optimizer),
        data.Batches(examples.train, chosen.batch_size, seed, replacement=chosen.replacement),
        epochs=epochs,
        steps_per_epoch=chosen.every,
        validation=train.Validation(train.make_eval_step(network), data.Batches(examples.test, 256)),
        keep=train.Keep(workdir),
    )
    # 5, 6. summary and pictures
    return runs.show_results(
        workdir, "cnn", network, state.variables, examples, history, chosen.documented, over="step"
    )


if __name__ == "__main__":
    commandline.run(main)
