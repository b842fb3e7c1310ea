"""Images to try on the page: held-out ones if the data set is here, or else the one that the run kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxnets.data.embedded import EMBEDDED
from jaxnets.data.formats.images import open_image
from jaxnets.data.formats.prepared import data_root, find_prepared
from jaxnets.errors import UserError
from jaxnets.runs import Run, load_dataset

MOST = 8


@dataclass(frozen=True)
class Example:
    """An image as a network takes it.

    Attributes:
        image: uint8 (H, W, C).
        label: Name of its class, or None if it is not known.
    """

    image: np.ndarray
    label: str | None


def find_examples(workdir: Path, run: Run) -> list[Example]:
    """Returns some images that the run has not learned from; none if neither is there.

    They are spread over the held-out ones, which may be in the order of their classes.

    Args:
        workdir: The run's folder.
        run: The run.
    """
    if run.features.dtype != "uint8":
        return []
    try:
        if _is_here(run.config["dataset"], run.config.get("data_dir")):
            return list(_held_out(workdir, run))
    except UserError:  # it is another one today, or cannot be read
        pass
    return list(_kept(workdir / "example.png", run.features.shape))


def _is_here(name: str | None, folder: str | None) -> bool:
    """Returns whether a data set can be read without preparing it first."""
    if name is None or name in EMBEDDED:
        return name is not None
    roots = [data_root(), *([Path(folder)] if folder else [])]
    return any(find_prepared(root, name) is not None for root in roots)


def _held_out(workdir: Path, run: Run) -> Iterator[Example]:
    source = load_dataset(workdir, run.config).test
    for row in np.unique(np.linspace(0, len(source) - 1, min(MOST, len(source))).astype(int)):
        example = source[int(row)]
        yield Example(np.asarray(example["x"]), run.features.classes[int(example["y"])])


def _kept(path: Path, shape: tuple[int, ...]) -> Iterator[Example]:
    try:
        image = open_image(path, str(path))
    except UserError:
        return
    pixels = np.asarray(image.convert("L" if shape[-1] == 1 else "RGB")).reshape(*image.size[::-1], shape[-1])
    if pixels.shape == shape:
        yield Example(pixels, None)
