"""Xception with a head for the class and one for the box: five batches whose boxes are drawn at random (F6).

    python experiments/random_boxes.py --weights imagenet                # as documented; downloads once
    python experiments/random_boxes.py --dataset digits --size 71        # from weights drawn at random

The document shows how both heads are trained at once, not that anything is found: its boxes are four numbers
from 0 to 1, drawn anew for every image in every step. Cross-entropy times 0.8 plus squared error times 0.2,
SGD 0.01 / (1 + 0.001 step) with Nesterov's momentum 0.9, two epochs of five batches of 32.

Documented: loss 1.3225, then 1.0969; cross-entropy 1.5600, 1.3200; squared error 0.3722, 0.2043; accuracy
0.3063, 0.5875. `localization.py` trains such heads on boxes that are true.
"""

from jaxnets.cli import commandline

from experiments.flowers import SPLITS
from jaxnets import data, losses, metrics, optim, plots, pretrained, report, runs, schedules, train
from jaxnets.data.augment import compose
from jaxnets.data.augment.ops import resize
from jaxnets.data.device import gather

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {
    "first loss": 1.3225,
    "loss": 1.0969,
    "first class_loss": 1.5600,
    "class_loss": 1.3200,
    "first box_loss": 0.3722,
    "box_loss": 0.2043,
    "first accuracy": 0.3063,
    "accuracy": 0.5875,
}


def with_boxes(size: int) -> Any:
    """An augmentation: images in colour, of this height and width, with boxes (batch, 4) drawn at random."""
    scaled = compose(resize(size, size))

    def augment(key: jax.Array, step: jax.Array, batch: Any) -> Any:
        batch = scaled(key, step, gather(batch))
        x = batch["x"]
        boxes = jax.random.uniform(jax.random.fold_in(key, step), (len(x), 4))
        return {**batch, "x": jnp.broadcast_to(x, (*x.shape[:3], 3)), "boxes": boxes}

    return augment


def load(dataset: str, size: int, data_dir: Path | None) -> data.Dataset:
    """Photos as for `flowers.py`, scaled when they are read; or embedded images as they are."""
    if dataset in data.EMBEDDED:
        return data.load(dataset)
    where = str(data_dir) if data_dir else None
    parts = {"train": SPLITS["train"], "test": SPLITS["validation"]}
    return data.load(dataset, data_dir=where, size=(size, size), **parts)


def main(
    *,
    dataset: str = "tf_flowers",
    weights: Path | None = None,
    size: int = 224,
    steps: int = 5,
    epochs: int = 2,
    batch_size: int = 32,
    seed: int = 0,
    workdir: Path = Path("runs/random_boxes"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train both heads and the backbone for a few steps.

    Args:
        dataset: Name of a data set of images: tf_flowers, similar photos under another name, or digits.
        weights: Weights of Xception: imagenet, or the path of a Keras file. By default they are drawn.
        size: Height and width that images are scaled to, at least 71.
        steps: Batches in an epoch.
        epochs: Passes over these batches.
        batch_size: Images in a step.
        seed: Seed of the weights that are drawn, the order of the images and the boxes.
        workdir: Folder for losses.png.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    examples = load(dataset, size, data_dir)
    few = data.Subset(examples.train, np.arange(min(steps * batch_size, len(examples.train))))
    # 2. network
    shape = (size, size, 3)
    features = data.Features(shape, "uint8", examples.features.classes)
    network = runs.make_model("xception_localizer", features)
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["nesterov"](schedules.time_decay(0.01, 0.001))
    state = train.make_state(network, optimizer, shape, seed)
    if not weights:
        print("no --weights: Xception's are drawn at random; the documented ones have learned ImageNet")
    else:
        start = pretrained.transplant(
            state.variables,
            pretrained.load_pretrained("xception", "imagenet" if str(weights) == "imagenet" else weights),
        )
        state = train.make_state(network, optimizer, shape, seed, start)
    parts: dict[str, Any] = {
        "class": losses.sparse_categorical_crossentropy,
        "box": losses.mean_squared_error,
    }
    step = train.make_train_step(
        network,
        optimizer,
        loss=losses.heads({"class": (parts["class"], 0.8), "box": (parts["box"], 0.2)}),
        metrics={f"{name}_loss": losses.of_head(name, part) for name, part in parts.items()}
        | {"accuracy": losses.of_head("class", metrics.accuracy)},
        targets=lambda batch: {"class": batch["y"], "box": batch["boxes"]},
        augment=with_boxes(size),
        preprocess=pretrained.tf_inputs,
    )
    # 4. fit
    _, history = train.fit(state, step, data.Batches(few, batch_size, seed), epochs=epochs)
    # 5. summary
    first, last = history[0], history[-1]
    measured = last | {
        f"first {name}": first[name] for name in ("loss", "class_loss", "box_loss", "accuracy")
    }
    report.beside(DOCUMENTED, {name: round(measured[name], 4) for name in DOCUMENTED}, on=examples.name)
    # 6. picture
    numbers = [record["epoch"] for record in history]
    names = {"class_loss": "class: cross-entropy", "box_loss": "box: squared error"}
    panels = {label: {"training": (numbers, [one[key] for one in history])} for key, label in names.items()}
    plots.lines(panels, workdir / "losses.png", xlabel="epoch")
    return measured | {"history": history, "dataset": examples.name}


if __name__ == "__main__":
    commandline.run(main)
