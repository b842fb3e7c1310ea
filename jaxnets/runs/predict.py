"""What a trained network sees of an image and which classes it predicts, for the command line and the app."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.formats.drawings import Drawn, Ink, as_trained
from jaxnets.data.formats.images import open_image
from jaxnets.errors import UserError
from jaxnets.runs import Run, load_run

BATCH = 64  # images that pass through a network together
THUMBNAIL = 192  # pixels of the longer side of an image on a contact sheet


@dataclass(frozen=True)
class Look:
    """An image, and what a network sees of it.

    Attributes:
        where: Name of the image.
        thumbnail: Thumbnail of the original image, uint8 (h, w, 3).
        seen: Input of the network, uint8 (H, W, C).
        doubt: Why it may not be what was meant, or None.
    """

    where: str
    thumbnail: np.ndarray
    seen: np.ndarray
    doubt: str | None = None


@dataclass(frozen=True)
class Guess:
    """A class and its predicted probability."""

    label: str
    probability: float


def load_image_run(workdir: Path | str) -> Run:
    """Returns `load_run` of a network that classifies images.

    Raises:
        UserError: If the folder holds no such run, or its examples are not images of bytes.
    """
    run = load_run(workdir)
    shape = run.features.shape
    if len(shape) != 3 or shape[-1] not in (1, 3) or not run.features.classes:
        if "experiment" in run.config:
            script = f"experiments/{run.config['experiment']}.py"
            raise UserError(
                f"{workdir} is of {script}, whose examples are not images: predict with that script"
            )
        raise UserError(
            f"{workdir} was trained on {run.config['dataset']}, whose examples are not images: use evaluate"
        )
    if run.features.dtype != "uint8":
        raise UserError(
            f"{workdir} was trained on images of {run.features.dtype}, and those in files are bytes, whose "
            "values there are unknown: use evaluate, or Run.probabilities from Python"
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
        ink: Ink of the drawing. By default found out.
        threshold: Pixels darker than this are dark ink, as in the document. By default ink is found by its
            edges.
        largest: Greatest number of pixels it may have.

    Raises:
        UserError: If the image cannot be opened (see `open_image`), or no ink is found in it.
    """
    image = open_image(file, where, largest=largest)
    seen = as_trained(
        image,
        where,
        run.features.shape,
        drawn=_drawn(run.config),
        ink=ink,
        threshold=threshold,
    )
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return Look(where, np.asarray(image.convert("RGB")), seen.pixels, seen.doubt)


def _drawn(config: dict[str, Any]) -> Drawn | None:
    """Returns how a run's training images are drawn; None if they are not drawings."""
    ink = config["input"].get("ink")
    known = {"span": config.get("ink_span"), "centre": config.get("ink_centre")}
    return Drawn(ink, **{key: value for key, value in known.items() if value}) if ink else None


def guesses(run: Run, seen: Sequence[np.ndarray]) -> Iterable[list[Guess]]:
    """Yields, for every image (H, W, C), all classes with their probabilities, the most probable first."""
    for start in range(0, len(seen), BATCH):
        for probabilities in run.probabilities(np.stack(seen[start : start + BATCH])):
            order = np.argsort(-probabilities, kind="stable")
            yield [Guess(run.features.classes[i], float(probabilities[i])) for i in order]
