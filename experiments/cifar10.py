"""Six convolutional networks, with one recipe, on CIFAR-10 (C1 to C6), Fashion-MNIST (C7) or other images.

    python experiments/cifar10.py --model resnet18
    python experiments/cifar10.py --model baseline --dataset fashion_mnist

Adam 0.001, batches of 32 (Inception 1,024), bytes / 255, 5 epochs. Besides the last weights, those of the
epoch with the least loss on the held-out images are kept. ResNet-18 adds 0.01 sum(w^2) of its head to the
loss. The document's Inception-10 calls batch normalization with training=False even while it trains, which
makes it a trained scale and shift; inception10_batch_norm is the same network with the statistics of each
batch.

Documented are these numbers of parameters, and of epoch 5 loss and accuracy on the training images, loss and
accuracy on the held-out images, and seconds:

    baseline           198,506  1.2558  0.5484  1.1867  0.5762   10
    lenet5_sigmoid      62,006  1.4795  0.4599  1.4530  0.4695    8
    alexnet8         9,639,178  0.9934  0.6564  1.2769  0.5684   75
    vgg16_cifar     15,262,026  0.8381  0.7213  0.9402  0.6882  196
    inception10        121,418  1.4827  0.4569  1.4545  0.4645   28
    resnet18        11,183,562  0.3899  0.8778  0.6399  0.8054  238

Measured: docs/results.md, which also says why accuracies differ by a few hundredths.
"""

from jaxnets.cli import commandline

from jaxnets import data, export, losses, optim, runs, train
from jaxnets.errors import lookup

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax


def head_l2(params: Any) -> jax.Array:
    """Keras's `kernel_regularizer=l2()` of the last layer of a ResNet."""
    return losses.l1_l2_penalty(params["predictions"], l2=0.01)


class System(NamedTuple):
    """A network, its documented figures and the settings of its recipe."""

    model: str
    documented: dict[str, float]
    batch_size: int = 32
    penalty: Callable[[Any], jax.Array] | None = None
    options: Mapping[str, Any] = {}


def figures(*values: float) -> dict[str, float]:
    """The documented figures of a network, by name."""
    names = ("parameters", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    return dict(zip(names, values, strict=True))


SYSTEMS = {
    "baseline": System("baseline", figures(198_506, 1.2558, 0.5484, 1.1867, 0.5762, 10)),
    "lenet5_sigmoid": System("lenet5_sigmoid", figures(62_006, 1.4795, 0.4599, 1.4530, 0.4695, 8)),
    "alexnet8": System("alexnet8", figures(9_639_178, 0.9934, 0.6564, 1.2769, 0.5684, 75)),
    "vgg16_cifar": System("vgg16_cifar", figures(15_262_026, 0.8381, 0.7213, 0.9402, 0.6882, 196)),
    "inception10": System("inception10", figures(121_418, 1.4827, 0.4569, 1.4545, 0.4645, 28), 1024),
    "inception10_batch_norm": System(
        "inception10", {"parameters": 121_418}, 1024, options={"fixed_affine": False}
    ),
    "resnet18": System("resnet18", figures(11_183_562, 0.3899, 0.8778, 0.6399, 0.8054, 238), penalty=head_l2),
}
DOCUMENTED = {name: system.documented for name, system in SYSTEMS.items()}


def main(
    *,
    model: str = "baseline",
    dataset: str = "cifar10",
    epochs: int = 5,
    batch_size: int | None = None,
    learning_rate: float = 1e-3,
    seed: int = 0,
    weights_txt: bool = False,
    workdir: Path | None = None,
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train one of the networks; the same command again continues the run.

    Args:
        model: baseline, lenet5_sigmoid, alexnet8, vgg16_cifar, inception10, inception10_batch_norm or
            resnet18.
        dataset: Name of a data set of images. If it is not available, digits are used instead.
        epochs: Passes over the training images in all.
        batch_size: Images in a step. By default as documented.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights and the order of the images.
        weights_txt: Whether to write all parameters to weights.txt as the document does; up to 250 MB.
        workdir: The run's folder. By default runs/cifar10/MODEL-DATASET.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    system = lookup(SYSTEMS, model, "model")
    examples = data.at_hand(dataset, data_dir)
    shape, batch_size = examples.features.shape, batch_size or system.batch_size
    # 2. network
    network = runs.make_model(system.model, examples.features, **system.options)
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    # 4. fit
    settings = {"system": model, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    config = runs.describe(system.model, examples) | settings | {"epochs": epochs}
    workdir = runs.open_folder(workdir, f"cifar10/{model}-{examples.name}", config)
    state, history = train.fit(
        train.make_state(network, optimizer, shape, seed),
        train.make_train_step(network, optimizer, penalty=system.penalty),
        data.Batches(examples.train, batch_size, seed),
        epochs=epochs,
        validation=train.Validation(
            train.make_eval_step(network, penalty=system.penalty), data.Batches(examples.test, 256)
        ),
        keep=train.Keep(workdir, best="val_loss"),
    )
    # 5, 6. summary, the parameters as text, and pictures
    if weights_txt:
        export.export_text(workdir / "weights.txt", network, state.variables, shape)
    return runs.show_results(
        workdir, system.model, network, state.variables, examples, history, system.documented
    )


if __name__ == "__main__":
    commandline.run(main)
