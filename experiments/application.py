"""The application: the network of `mnist.py` reads photographs of handwritten digits (B9).

    python experiments/application.py
    python -m jaxnets predict runs/application/network photo.jpg --sheet sheet.png   # your own photographs

Every photograph is resized to 28x28, whatever is dark is taken for ink and becomes white on black, and the
784-128-10 network classifies the result. Documented: what the user types and sees, but not how many of the
ten photographs are read right. They are not available, so held-out digits are drawn with a dark pen on
unevenly lit, noisy paper, ten times larger, and saved as JPEG. The network has never seen such pictures, only
what the preparation makes of them.
"""

from jaxnets.cli import commandline

from experiments import mnist
from jaxnets import data, report
from jaxnets.runs.predict import guesses, load_image_run, look
from jaxnets.runs.sheet import contact_sheet

from pathlib import Path
from typing import Any

import numpy as np

DOCUMENTED: dict[str, Any] = {}


def photograph(digit: np.ndarray, rng: np.random.Generator, path: Path) -> None:
    """Saves white ink on black, uint8 (28, 28, 1), as the photograph of a dark pen on paper, 280x280."""
    from PIL import Image, ImageFilter

    enlarged = Image.fromarray(digit[..., 0]).resize((280, 280), Image.Resampling.BICUBIC)
    ink = np.asarray(enlarged.filter(ImageFilter.GaussianBlur(2)), np.float32)[..., None] / 255
    down, right = np.meshgrid(np.linspace(0, 1, 280), np.linspace(0, 1, 280), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 - 0.12 * (np.cos(angle) * (right - 0.5) + np.sin(angle) * (down - 0.5) + 0.5)
    paper = np.array([238, 234, 224]) * light[..., None]
    picture = paper * (1 - ink) + np.array([45, 50, 70]) * ink + rng.normal(0, 4, (280, 280, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, quality=85)


def main(
    *,
    dataset: str = "mnist",
    epochs: int = 5,
    count: int = 200,
    seed: int = 0,
    workdir: Path = Path("runs/application"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train the network unless it is trained already, photograph held-out digits, and read them.

    Args:
        dataset: Name of a data set of handwritten digits. If it is not available, the embedded digits are
            used.
        epochs: Epochs of the network's training.
        count: Number of photographs, the first twelve of which are drawn on the sheet.
        seed: Seed of the network, and of light and noise in the photographs.
        workdir: Folder for the network, the photographs and sheet.png.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    mnist.main(dataset=dataset, epochs=epochs, seed=seed, workdir=workdir / "network", data_dir=data_dir)
    examples, rng = data.at_hand(dataset, data_dir), np.random.default_rng(seed)
    chosen = rng.permutation(len(examples.test))[:count]
    files = [workdir / "photos" / f"{index}.jpg" for index in chosen]
    for index, file in zip(chosen, files, strict=True):
        photograph(examples.test[int(index)]["x"], rng, file)
    run = load_image_run(workdir / "network")
    looks = [look(run, file, file.name) for file in files]
    answers = list(guesses(run, [one.seen for one in looks]))
    labels = [run.features.classes[int(examples.test[int(index)]["y"])] for index in chosen]
    right = np.mean([best[0].label == label for best, label in zip(answers, labels, strict=True)])
    contact_sheet(
        [(one, best[:3]) for one, best in zip(looks, answers, strict=True)][:12], workdir / "sheet.png"
    )
    measured = {"photographs read right": float(right), "dataset": examples.name, "epoch": epochs}
    report.beside({"photographs read right": "not given"}, measured, on=f"{len(files)} of {examples.name}")
    return measured


if __name__ == "__main__":
    commandline.run(main)
