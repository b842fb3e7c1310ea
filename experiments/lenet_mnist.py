"""LeNet-5 on handwritten digits with early stopping, recorded for TensorBoard (E2).

    python experiments/lenet_mnist.py
    tensorboard --logdir runs/lenet_mnist-mnist/tensorboard

ReLU, SGD 0.01, cross-entropy, batches of 32, up to 80 epochs; it stops when the loss on the held-out images
has not improved for 5 epochs. TensorBoard shows loss and accuracy, a histogram of every parameter after
every epoch, and the network's graph.

Documented: 61,706 parameters; accuracy on the held-out images 0.9512 (loss 0.1594) after epoch 1, 0.9862
(0.0407) after epoch 8. The document does not say where its run stopped.
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, runs, train
from jaxnets.summary import summarize

from pathlib import Path
from typing import Any

DOCUMENTED = {
    "parameters": 61_706,
    "val_loss after epoch 1": 0.1594,
    "val_accuracy after epoch 1": 0.9512,
    "val_loss after epoch 8": 0.0407,
    "val_accuracy after epoch 8": 0.9862,
}
PRINTED = (1, 8)  # epochs


def main(
    *,
    dataset: str = "mnist",
    epochs: int = 80,
    patience: int = 5,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    seed: int = 0,
    workdir: Path | None = None,
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train LeNet-5 with early stopping; the same command again continues the run.

    Args:
        dataset: Name of a data set of images. If it is not available, digits are used instead.
        epochs: Passes over the training images at most.
        patience: Epochs without a lower val_loss after which the training ends.
        batch_size: Images in a step.
        learning_rate: Learning rate of SGD.
        seed: Seed of the first weights and the order of the images.
        workdir: The run's folder. By default runs/lenet_mnist-DATASET.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    examples = data.at_hand(dataset, data_dir)
    # 2. network
    network = runs.make_model("lenet5", examples.features)
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["sgd"](learning_rate)
    # 4. fit
    settings: dict[str, Any] = {"batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    config = runs.describe("lenet5", examples) | settings | {"patience": patience, "epochs": epochs}
    workdir = runs.open_folder(workdir, f"lenet_mnist-{examples.name}", config)
    layers = summarize(network, examples.features.shape)
    state, history = train.fit(
        train.make_state(network, optimizer, examples.features.shape, seed),
        train.make_train_step(network, optimizer),
        data.Batches(examples.train, batch_size, seed),
        epochs=epochs,
        validation=train.Validation(train.make_eval_step(network), data.Batches(examples.test, 256)),
        keep=train.Keep(workdir, best="val_loss"),
        callbacks=[
            train.EarlyStopping("val_loss", patience),
            train.TensorBoard(workdir / "tensorboard", graph=layers),
        ],
    )
    # 5, 6. summary and pictures
    after = {
        f"{name} after epoch {record['epoch']}": record[name]
        for record in history
        for name in ("val_loss", "val_accuracy")
        if record["epoch"] in PRINTED
    }
    return runs.show_results(
        workdir, "lenet5", network, state.variables, examples, history, DOCUMENTED, **after
    )


if __name__ == "__main__":
    commandline.run(main)
