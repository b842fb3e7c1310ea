"""Your own data set: images and text files of `name label` lines, cached as arrays (B4).

    python experiments/own_data.py                    # first writes the digits as such a folder
    python experiments/own_data.py --folder photos    # photos/train/, train.txt, test/ and test.txt

The images become grey arrays, which are kept as .npy files beside the text files and read from there as long
as no file has changed; 784-128-10 is then trained on them as in mnist.py.

Documented: 101,770 parameters, and that the arrays from the cache equal those from the images, which is
checked in every run.
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, plots, runs, train
from jaxnets.course.cached import labelled_images

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

DOCUMENTED = {"parameters": 101_770, "identical from the cache": 1}


def write(examples: data.Source, folder: Path, name: str) -> None:
    """Makes folder/name/0.png ... and folder/name.txt, as the document has its digits."""
    from PIL import Image

    (folder / name).mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(len(examples)):
        example = examples[number]
        Image.fromarray(example["x"].squeeze()).save(folder / name / f"{number}.png")
        lines.append(f"{number}.png {int(example['y'])}\n")
    (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")


def read(folder: Path, side: int) -> tuple[list[data.ArraySource], float]:
    """Returns the examples to learn from and the held-out ones, and the seconds that it took."""
    start = time.perf_counter()
    read_part = partial(labelled_images, size=(side, side))
    train = read_part(folder / "train", folder / "train.txt")
    test = read_part(folder / "test", folder / "test.txt", classes=train.features.classes)
    return [train, test], time.perf_counter() - start


def main(
    *,
    folder: Path | None = None,
    dataset: str = "digits",
    side: int = 28,
    epochs: int = 5,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    workdir: Path = Path("runs/own_data"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Read labelled images twice, from the files and from the cache, and train on them.

    Args:
        folder: Folder with train/, train.txt, test/ and test.txt. By default made from `dataset`.
        dataset: Name of the data set whose images are written as such a folder.
        side: Height and width to which all images are scaled.
        epochs: Passes over the training images in all.
        batch_size: Images in a step.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights and the order of the images.
        workdir: Folder for curves.png, for images/, if they are written, and for run/, the run's folder.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    if folder is None:
        original, folder = data.at_hand(dataset, data_dir), workdir / "images"
        name = original.name
        write(original.train, folder, "train")
        write(original.test, folder, "test")
    else:
        name = folder.name
    from_images, cold = read(folder, side)
    cached, warm = read(folder, side)
    same = [
        np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y)
        for a, b in zip(from_images, cached, strict=True)
    ]
    figures = {
        "identical from the cache": int(all(same)),
        "seconds from the images": cold,
        "seconds from the cache": warm,
    }
    print(", ".join(f"{key} {value:.3g}" for key, value in figures.items()))
    examples = data.Dataset(name, *cached)
    # 2. network
    network = runs.make_model("mlp", examples.features)
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    # 4. fit
    settings: dict[str, Any] = {"batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    settings |= {"folder": str(folder), "epochs": epochs}
    train.write_config(workdir / "run", runs.describe("mlp", examples) | settings)
    state, history = train.fit(
        train.make_state(network, optimizer, examples.features.shape, seed),
        train.make_train_step(network, optimizer),
        data.Batches(examples.train, batch_size, seed),
        epochs=epochs,
        validation=train.Validation(train.make_eval_step(network), data.Batches(examples.test, 256)),
        keep=train.Keep(workdir / "run"),
    )
    # 5. summary
    measured = runs.print_summary("mlp", network, examples, history, DOCUMENTED, **figures)
    # 6. pictures
    plots.curves(history, workdir / "curves.png", title=f"mlp on images of {examples.name}")
    command = runs.save_pictures(workdir / "run", examples, network, state.variables)
    print(f"try next: {command}")
    return measured


if __name__ == "__main__":
    commandline.run(main)
