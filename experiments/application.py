"""The application: the network of `mnist.py` reads photographs of handwritten digits (B9).

    python experiments/application.py
    python experiments/application.py --ask      # asks how many photographs and which, as the document does
    python -m jaxnets predict runs/application/network photo.jpg --sheet sheet.png   # your own photographs

As documented, every photograph is resized to 28x28, whatever is darker than 200 is taken for ink and becomes
white on black, and the 784-128-10 network classifies the result. Documented: what the user types and sees,
but not how many of the ten photographs are read right. They are not available, so held-out digits are drawn
with a dark pen on unevenly lit, noisy paper, ten times larger, and saved as JPEG. The network has never seen
such pictures, only what the preparation makes of them.

The second table is about jaxnets's own preparation, which finds the ink whatever the light: how many are read
right of photographs taken as in `SCENES`.
"""

from jaxnets.cli import commandline

from experiments import mnist
from jaxnets import data, report
from jaxnets.errors import UserError
from jaxnets.runs.predict import guesses, load_image_run, look
from jaxnets.runs.run import Run
from jaxnets.runs.sheet import contact_sheet

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DOCUMENTED: dict[str, Any] = {}

PAPER, TABLE = (238, 234, 224), (62, 48, 38)  # colours


@dataclass(frozen=True)
class Scene:
    """How a digit is photographed.

    Attributes:
        ink: The pen's colour.
        sharpness: Steepness of the ink's edges; those of enlarged examples are soft, with 1.
        exposure: Factor of all brightness; what exceeds 255 is cut off.
        vignette: Share of the light that is missing in the corners.
        shadow: Share of the light that is missing on one side of a soft line across the picture.
        sheet: Side of the sheet relative to that of the digit's image, which lies anywhere on it.
        table: Width of the dark table around the sheet, relative to the side of the sheet.
    """

    ink: tuple[int, int, int] = (45, 50, 70)
    sharpness: float = 1.0
    exposure: float = 1.0
    vignette: float = 0.0
    shadow: float = 0.0
    sheet: float = 1.0
    table: float = 0.0


SCENES = {
    "plain": Scene(),
    "dim": Scene(exposure=0.5),
    "over-exposed by 1.6": Scene(ink=(130, 132, 135), sharpness=4, exposure=1.6),
    "over-exposed by 2": Scene(ink=(110, 112, 120), sharpness=4, exposure=2.0),
    "faint ink": Scene(ink=(214, 210, 201)),
    "vignette": Scene(vignette=0.6),
    "shadow": Scene(shadow=0.45),
    "small on a large sheet": Scene(sheet=5.0),
    "dark table around the sheet": Scene(table=0.25),
    "small, on a sheet on a dark table, with a vignette": Scene(sheet=3.0, table=0.2, vignette=0.4),
}


def photograph(
    digit: np.ndarray, rng: np.random.Generator, path: Path, scene: Scene = SCENES["plain"], side: int = 280
) -> None:
    """Saves white ink on black, uint8 (H, H, 1), as the photograph of a drawing on paper, side x side."""
    from PIL import Image, ImageFilter

    # The drawing, how it is lit, and where the sheet and the drawing on it lie
    sheet = round(side / (1 + 2 * scene.table))
    drawn = round(sheet / scene.sheet)
    enlarged = Image.fromarray(digit[..., 0]).resize((drawn, drawn), Image.Resampling.BICUBIC)
    blurred = np.asarray(enlarged.filter(ImageFilter.GaussianBlur(drawn / 140)), np.float32) / 255
    blurred = np.clip(scene.sharpness * (blurred - 0.5) + 0.5, 0, 1)
    angle, noise = rng.uniform(0, 2 * np.pi), rng.normal(0, 4, (side, side, 3))
    down, right = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    along = np.cos(angle) * (right - 0.5) + np.sin(angle) * (down - 0.5)

    rim = (side - sheet) // 2
    top, left = rim + rng.integers(0, sheet - drawn, 2, endpoint=True)
    ink, table = np.zeros((side, side, 1)), np.ones((side, side, 1))
    ink[top : top + drawn, left : left + drawn, 0] = blurred
    table[rim : rim + sheet, rim : rim + sheet] = 0
    picture = (np.array(PAPER) * (1 - ink) + np.array(scene.ink) * ink) * (1 - table) + np.array(
        TABLE
    ) * table

    light = scene.exposure * (1 - 0.12 * (along + 0.5))
    light *= 1 - scene.vignette * (2 * (right - 0.5) ** 2 + 2 * (down - 0.5) ** 2)
    light *= 1 - scene.shadow / (1 + np.exp(-(along - 0.05) / 0.02))
    picture = picture * light[..., None] + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, quality=85)


def converse(run: Run, workdir: Path) -> list[str]:
    """The document's prompts: how many, then path after path; returns the digits that were read.

    What is wrong with a path is said in a line, and the next one is asked for. Every photograph is shown, as
    it is and as the network sees it, in a picture in the workdir.
    """
    answers: list[str] = []
    with suppress(EOFError):
        number = input("input the number of test pictures:")
        if not number.strip().isdecimal():
            raise UserError(f"the number of test pictures is {number!r}: it must be a whole number")
        for place in range(1, int(number) + 1):
            path = Path(input("the path of test picture:").strip())
            try:
                seen = look(run, path, path.name, threshold=200)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                continue
            (best,) = guesses(run, [seen.seen])
            contact_sheet([(seen, best[:3])], workdir / f"asked-{place}.png")
            answers.append(best[0].label)
            print(f"\n[{best[0].label}]  ({workdir / f'asked-{place}.png'})")
    return answers


def main(
    *,
    dataset: str = "mnist",
    epochs: int = 5,
    count: int = 200,
    ask: bool = False,
    seed: int = 0,
    workdir: Path = Path("runs/application"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train the network unless it is trained already, photograph held-out digits, and read them.

    Args:
        dataset: Name of a data set of handwritten digits. If it is not available, the embedded digits are
            used.
        epochs: Epochs of the network's training.
        count: Number of photographs of each scene, the first twelve of which are drawn on a sheet.
        ask: Whether to ask for photographs to read, instead of taking some.
        seed: Seed of the network, and of light and noise in the photographs.
        workdir: Folder for the network, the photographs and the sheets.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    mnist.main(dataset=dataset, epochs=epochs, seed=seed, workdir=workdir / "network", data_dir=data_dir)
    examples = data.at_hand(dataset, data_dir)
    run = load_image_run(workdir / "network")
    if ask:
        return {"answers": converse(run, workdir), "dataset": examples.name, "epoch": epochs}

    def read(scene: str, sheet: str, threshold: int | None = None) -> float:
        """Photographs held-out digits, reads them, draws a sheet of twelve; returns how many were right."""
        rng, found, right = np.random.default_rng(seed), [], 0
        for index in rng.permutation(len(examples.test))[:count]:
            file, digit = workdir / "photos" / scene / f"{index}.jpg", examples.test[int(index)]
            photograph(digit["x"], rng, file, SCENES[scene])
            try:
                seen = look(run, file, file.name, threshold=threshold)
            except UserError:  # no ink is found in it
                continue
            (best,) = guesses(run, [seen.seen])
            found.append((seen, best[:3]))
            right += best[0].label == run.features.classes[int(digit["y"])]
        if found:
            contact_sheet(found[:12], workdir / sheet)
        return right / count

    measured = {"photographs read right": read("plain", "sheet.png", threshold=200)}
    report.beside({"photographs read right": "not given"}, measured, on=f"{count} of {examples.name}")
    print("\nread right, whatever the light")
    for number, scene in enumerate(SCENES):
        measured[scene] = read(scene, f"sheet-{number}.png")
        print(f"{scene:<50}  {measured[scene]:.3f}", flush=True)
    return {**measured, "dataset": examples.name, "epoch": epochs}


if __name__ == "__main__":
    commandline.run(main)
