"""Digits rotated, shifted and zoomed: how they look, and how training on them changes the accuracy (B5).

    python experiments/augmentation.py

Rotation by up to 45 degrees, shifts by up to 0.15 of height and width, zoom by 0.5 to 1.5 (and horizontal
flips, if asked for: the document's code leaves them out, as is right for digits) are drawn on the device in
every step. 784-128-10, Adam 0.001, batches of 32, 5 epochs, once on the images as they are and once on the
changed ones. Both networks are evaluated on the held-out images as they are, and on the same images changed
once in that way.

Documented: 101,770 parameters; no accuracies are printed.
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, plots, runs, train
from jaxnets.data.augment import Augment, compose_for, parse

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {"parameters": 101_770}
CHANGES = ("rotation=45", "shift=0.15", "zoom=0.5")


def changed(source: data.Source, augment: Augment, seed: int) -> data.ArraySource:
    """Returns all examples, changed once."""
    apply = jax.jit(augment)
    parts = [
        apply(jax.random.PRNGKey(seed), jnp.int32(0), batch) for batch in data.Batches(source, 256).epoch()
    ]
    x = np.concatenate([part["x"] for part in parts])[: len(source)]
    return data.ArraySource(x, source.labels(), source.features.classes)


def draw(
    source: data.Source, augment: Augment, seed: int, path: Path, columns: int = 8, rows: int = 4
) -> None:
    """Draws some images, and below each what is made of it in the first steps."""
    batch = next(data.Batches(source, columns, seed).epoch())
    pictures, titles = [*batch["x"]], [source.features.classes[label] for label in batch["y"]]
    for step in range(rows):
        pictures += [*np.asarray(augment(jax.random.PRNGKey(seed), jnp.int32(step), batch)["x"])]
        titles += [""] * columns
    plots.images(pictures, titles, path, columns=columns)


def main(
    *,
    dataset: str = "mnist",
    horizontal_flip: bool = False,
    epochs: int = 5,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    workdir: Path | None = None,
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train twice from the same start, with and without augmentation; the same command again continues.

    Args:
        dataset: Name of a data set of images. If it is not available, digits are used instead.
        horizontal_flip: Whether to mirror half of the images as well.
        epochs: Passes over the training images in all.
        batch_size: Images in a step.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights, the order of the images and their augmentation.
        workdir: The run's folder. By default runs/augmentation-DATASET.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    examples = data.at_hand(dataset, data_dir)
    changes = CHANGES + horizontal_flip * ("horizontal_flip",)
    augment = compose_for(examples.features, parse(changes))
    assert augment is not None
    held_out = {"": examples.test, " on changed images": changed(examples.test, augment, seed)}
    workdir = workdir or runs.default_folder(f"augmentation-{examples.name}")
    # 2. network
    network = runs.make_model("mlp", examples.features)
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    # 4. fit
    eval_step = jax.jit(train.make_eval_step(network))
    figures, histories = {}, {}
    for name, steps in {"without": (), "with": changes}.items():
        settings: dict[str, Any] = {"batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
        settings |= {"augment": steps, "epochs": epochs}
        train.write_config(workdir / name, runs.describe("mlp", examples) | settings)
        state, histories[name] = train.fit(
            train.make_state(network, optimizer, examples.features.shape, seed),
            train.make_train_step(network, optimizer, augment=augment if steps else None),
            data.Batches(examples.train, batch_size, seed),
            epochs=epochs,
            validation=train.Validation(eval_step, data.Batches(examples.test, 256)),
            keep=train.Keep(workdir / name),
        )
        for kind, source in held_out.items():
            judged = train.evaluate(eval_step, state.variables, data.Batches(source, 256))
            figures[f"val_accuracy {name}{kind}"] = judged["accuracy"]
    # 5. summary
    measured = runs.print_summary("mlp", network, examples, histories["with"], DOCUMENTED, **figures)
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    # 6. pictures
    draw(examples.train, augment, seed, workdir / "augmentation.png")
    panels = {
        quantity: {
            f"{part}, {name}": ([record["epoch"] for record in history], [record[key] for record in history])
            for name, history in histories.items()
            for part, key in {"training": quantity, "held out": f"val_{quantity}"}.items()
        }
        for quantity in ("accuracy", "loss")
    }
    plots.lines(panels, workdir / "curves.png", xlabel="epoch")
    return measured


if __name__ == "__main__":
    commandline.run(main)
