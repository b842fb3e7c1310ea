"""Classification and localisation: one backbone with a head for the class and a head for the box (F6).

    python experiments/localization.py
    python experiments/localization.py --dataset NAME --boxes FEATURE --model xception --weights imagenet

The cross-entropy of the class has the weight 0.8, and the squared error of the box's edges (ymin, xmin, ymax,
xmax as fractions of the image) the weight 0.2. Without --boxes, the images are made here: digits of 16 to 36
pixels are pasted anywhere into 48x48, so that the boxes are exact.

Documented: Xception on five batches of flowers with boxes drawn at random, two epochs: cross-entropy 1.56,
then 1.32, squared error 0.3722, then 0.2043. Measured on the digits: docs/results.md.
"""

from jaxnets.cli import commandline

from jaxnets import data, losses, metrics, optim, plots, pretrained, report, runs, train
from jaxnets.data import ArraySource, Batches, Dataset, Source
from jaxnets.errors import UserError, lookup
from jaxnets.models import MODELS, Localizer
from jaxnets.summary import summarize

from pathlib import Path
from typing import Any

import jax
import numpy as np

DOCUMENTED = {
    "first class_loss": 1.5600,
    "class_loss": 1.3200,
    "first box_loss": 0.3722,
    "box_loss": 0.2043,
}
CANVAS, SIZES = 48, (16, 36)  # pixels; the sizes of what is pasted


def scenes(source: Source, times: int, seed: int) -> ArraySource:
    """Grey images (48, 48, 1) with one digit each, `times` of every example, and its "boxes" (4,)."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    count = times * len(source)
    x: Any = np.zeros((count, CANVAS, CANVAS, 1), np.uint8)
    boxes = np.zeros((count, 4))
    for number in range(count):
        image = source[number % len(source)]["x"][..., 0]
        rows, columns = (np.flatnonzero(image.max(axis)) for axis in (1, 0))
        ink = Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        scale = int(rng.integers(*SIZES, endpoint=True)) / max(ink.size)
        width, height = (max(1, round(scale * side)) for side in ink.size)
        top, left = rng.integers(0, CANVAS - height + 1), rng.integers(0, CANVAS - width + 1)
        x[number, top : top + height, left : left + width, 0] = ink.resize((width, height))
        boxes[number] = np.array([top, left, top + height, left + width]) / CANVAS
    return ArraySource(x, np.tile(source.labels(), times), source.features.classes, boxes=boxes)


def load(dataset: str, boxes: str | None, size: int, times: int, seed: int, data_dir: Path | None) -> Dataset:
    """A data set with boxes: one of TFDS with that feature, or digits pasted here."""
    if boxes:
        where = str(data_dir) if data_dir else None
        return data.load(dataset, data_dir=where, boxes=boxes, size=(size, size))
    source = data.at_hand(dataset, data_dir)
    if source.features.shape[-1] != 1 or source.features.dtype != "uint8":
        raise UserError(
            f"{dataset} is not of grey images to paste: say which of its features are --boxes, or take digits"
        )
    parts = (scenes(source.train, times, seed), scenes(source.test, 1, seed + 1))
    return Dataset(f"{source.name}, pasted", *parts)


def main(
    *,
    dataset: str = "digits",
    boxes: str | None = None,
    size: int = 224,
    model: str = "lenet5",
    weights: str | None = None,
    class_weight: float = 0.8,
    box_weight: float = 0.2,
    times: int = 4,
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    workdir: Path = Path("runs/localization"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train both heads, and draw predicted and true boxes; the same command again continues the run.

    Args:
        dataset: Name of a data set of grey images to paste, or one with boxes.
        boxes: Name of its bounding-box feature in TFDS. By default images are made here.
        size: Height and width of the images of a data set with boxes.
        model: The backbone.
        weights: Weights of a backbone that has official ones: imagenet, or the path of a Keras file.
        class_weight: Weight of the cross-entropy.
        box_weight: Weight of the squared error.
        times: Number of times that every training image is pasted.
        epochs: Passes over the training images.
        batch_size: Images in a step.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights, the order of the images and the places where they are pasted.
        workdir: The run's folder.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    examples = load(dataset, boxes, size, times, seed, data_dir)
    shape = examples.features.shape
    # 2. network
    backbone = lookup(MODELS, model, "model")()
    network = Localizer(backbone, num_classes=len(examples.features.classes))
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    state = train.make_state(network, optimizer, shape, seed)
    preprocess: runs.Preprocess = train.normalize
    if weights:
        preprocess = lookup(pretrained.PRETRAINED, model, "pretrained model").inputs
        start = pretrained.transplant(state.variables, pretrained.load_pretrained(model, weights))
        state = train.make_state(network, optimizer, shape, seed, start)
    parts: dict[str, Any] = {
        "class": losses.sparse_categorical_crossentropy,
        "box": losses.mean_squared_error,
    }
    learning: dict[str, Any] = {
        "loss": losses.heads({"class": (parts["class"], class_weight), "box": (parts["box"], box_weight)}),
        "metrics": {f"{name}_loss": losses.of_head(name, part) for name, part in parts.items()}
        | {
            "accuracy": losses.of_head("class", metrics.accuracy),
            "iou": losses.of_head("box", metrics.intersection_over_union),
        },
        "targets": lambda batch: {"class": batch["y"], "box": batch["boxes"]},
        "preprocess": preprocess,
    }
    # 4. fit
    settings: dict[str, Any] = {
        "boxes": boxes,
        "size": size,
        "backbone": model,
        "weights": weights,
        "times": times,
    }
    settings |= {"class_weight": class_weight, "box_weight": box_weight, "batch_size": batch_size}
    settings |= {"learning_rate": learning_rate, "seed": seed, "epochs": epochs}
    train.write_config(workdir, {"experiment": "localization", "dataset": examples.name} | settings)
    state, history = train.fit(
        state,
        train.make_train_step(network, optimizer, **learning),
        Batches(examples.train, batch_size, seed),
        epochs=epochs,
        validation=train.Validation(train.make_eval_step(network, **learning), Batches(examples.test, 256)),
        keep=train.Keep(workdir),
    )
    # 5. summary
    print(summarize(network, shape).to_text())
    measured = {"first class_loss": history[0]["class_loss"], "first box_loss": history[0]["box_loss"]}
    measured |= history[-1]
    report.beside(DOCUMENTED, {name: round(measured[name], 4) for name in DOCUMENTED}, on=examples.name)
    print(f"held out: accuracy {measured['val_accuracy']:.4f}, mean IoU {measured['val_iou']:.4f}")
    # 6. pictures
    shown = examples.test[np.arange(min(16, len(examples.test)))]
    found: Any = jax.jit(network.apply)(state.variables, preprocess(jax.numpy.asarray(shown["x"])))
    overlap = metrics.intersection_over_union(found["box"], jax.numpy.asarray(shown["boxes"]))
    names, guesses = examples.features.classes, np.argmax(found["class"], axis=-1)
    titles = [
        f"{names[guess]}, IoU {shared:.2f}" + ("" if guess == label else "!")
        for guess, label, shared in zip(guesses, shown["y"], overlap, strict=True)
    ]
    both = {"true": shown["boxes"], "predicted": np.asarray(found["box"])}
    plots.images(shown["x"], titles, workdir / "boxes.png", size=(1.5, 1.7), boxes=both)
    numbers = [record["epoch"] for record in history]
    panels = {
        ylabel: {
            label: (numbers, [record[prefix + name] for record in history])
            for label, prefix in (("training", ""), ("held out", "val_"))
        }
        for ylabel, name in (
            ("class: cross-entropy", "class_loss"),
            ("box: squared error", "box_loss"),
            ("box: mean IoU", "iou"),
        )
    }
    plots.lines(panels, workdir / "losses.png", xlabel="epoch", logarithmic=["box: squared error"])
    return measured | {"history": history, "dataset": examples.name}


if __name__ == "__main__":
    commandline.run(main)
