"""What a trained network sees in an image and what it takes it for: here the command line and the app ask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.formats.images import Ink, as_trained, open_image
from jaxnets.errors import UserError
from jaxnets.runs import Run, load_run

BATCH = 64  # images that go through a network together
THUMBNAIL = 192  # pixels of the longer side of what a contact sheet shows of an image


@dataclass(frozen=True)
class Look:
    """An image, and what a network sees of it.

    Attributes:
        where: Name of the image.
        thumbnail: uint8 (h, w, 3), of the image as it came.
        seen: uint8 (H, W, C), what goes into the network.
    """

    where: str
    thumbnail: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Guess:
    """A class, and how probable the network holds it to be."""

    label: str
    probability: float


def load_image_run(workdir: Path) -> Run:
    """Returns `load_run` of a network that tells images apart.

    Raises:
        UserError: there is none in this folder, or it learned something else.
    """
    run = load_run(workdir)
    shape = run.features.shape
    if len(shape) != 3 or shape[-1] not in (1, 3) or not run.features.classes:
        raise UserError(
            f"{workdir} learned {run.config['dataset']}, whose examples are not images: use evaluate"
        )
    return run


def look(
    run: Run,
    file: Any,
    where: str,
    *,
    ink: Ink | None = None,
    threshold: int | None = None,
    largest: int | None = None,
) -> Look:
    """Opens an image as `read_image` does for this run.

    Args:
        run: Run of a network that takes images.
        file: Path of the file, or a binary file.
        where: Name of the image, for messages.
        ink: Ink of the drawing. By default judged by its border.
        threshold: What is darker than this is dark ink; see `white_ink`.
        largest: How many pixels it may have.

    Raises:
        UserError: see `open_image`.
    """
    image = open_image(file, where, largest=largest)
    wanted = run.config["input"].get("ink")
    seen = as_trained(image, run.features.shape, wanted=wanted, ink=ink, threshold=threshold)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return Look(where, np.asarray(image.convert("RGB")), seen)


def guesses(run: Run, seen: Sequence[np.ndarray]) -> Iterable[list[Guess]]:
    """Yields for every image (H, W, C) all classes with their probabilities, the most probable first."""
    for start in range(0, len(seen), BATCH):
        for probabilities in run.probabilities(np.stack(seen[start : start + BATCH])):
            order = np.argsort(-probabilities, kind="stable")
            yield [Guess(run.features.classes[i], float(probabilities[i])) for i in order]
