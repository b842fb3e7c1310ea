"""A contact sheet: images, what a network sees of them, and its best guesses as bars."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import UserError
from jaxnets.plots import COLOURS, figure
from jaxnets.plots.fonts import shorten, width
from jaxnets.runs.predict import Guess, Look

COLUMNS = 3
MOST = 300  # images: a PNG has 65,536 rows of pixels at most, and nobody reads more
CELL = (3.3, 1.25)  # inches: an image, what was seen, and bars, side by side


def check_sheet(path: Path | str, files: Sequence[Path | str]) -> None:
    """Checks that a contact sheet of these images can be written to `path`, before any work is done.

    Raises:
        UserError: If `path` is a folder, not named .png or one of the images, or there are too many images.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"the sheet {path} is a folder: name a PNG file in it, like {path / 'sheet.png'}")
    if path.suffix.lower() != ".png":
        raise UserError(f"the sheet {path}: its name must end in .png")
    if any(path.resolve() == Path(file).resolve() for file in files):
        raise UserError(f"the sheet {path} is one of the images: it would be overwritten; give another name")
    if len(files) > MOST:
        raise UserError(f"{len(files)} images do not fit on a sheet: give {MOST} at most, or several sheets")


def contact_sheet(answers: Sequence[tuple[Look, Sequence[Guess]]], path: Path | str) -> None:
    """Draws images, what was seen of them, and the best guesses.

    Args:
        answers: For every image, what the network sees and up to three guesses.
        path: Path of the PNG.

    Raises:
        UserError: If the file cannot be written there.
    """
    columns = min(COLUMNS, len(answers))
    rows = -(-len(answers) // columns)
    with figure(path, size=(columns * CELL[0], rows * CELL[1] + 0.1)) as axes:
        axis = axes[0, 0]
        axis.set_axis_off()
        axis.set(xlim=(0, columns * CELL[0]), ylim=(rows * CELL[1], 0), aspect="equal")
        for number, (look, best) in enumerate(answers):
            _cell(axis, look, best, CELL[0] * (number % columns), CELL[1] * (number // columns))


def _ending(name: str, most: int) -> str:
    """Returns a name, or three dots and its end if it is wider than `most` Latin letters."""
    return name if width(name) <= most else shorten(name[::-1], most)[::-1]


def _cell(axis: Any, look: Look, best: Sequence[Guess], left: float, top: float) -> None:
    side = 0.9
    name = Path(look.where).name
    axis.text(left, top + 0.12, _ending(name, 40), fontsize=8, color="#333333")
    for place, image in enumerate((look.thumbnail, look.seen)):
        height, width = image.shape[:2]
        wide, high = (side * length / max(height, width) for length in (width, height))
        x, y = left + place * (side + 0.08) + (side - wide) / 2, top + 0.2 + (side - high) / 2
        shown = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
        axis.imshow(
            shown, extent=(x, x + wide, y + high, y), interpolation="nearest" if place else "antialiased"
        )
        axis.plot(  # white paper on a white sheet needs an edge
            [x, x + wide, x + wide, x, x], [y, y, y + high, y + high, y], color="#bbbbbb", linewidth=0.5
        )
    for place, guess in enumerate(best):
        x, y = left + 2 * side + 0.26, top + 0.2 + place * side / 3
        axis.text(
            x, y + 0.13, f"{shorten(guess.label, 14)}  {guess.probability:.1%}", fontsize=8, color="#333333"
        )
        for length, colour in (
            (1.0, "#e6e6e6"),
            (guess.probability, COLOURS[0] if place == 0 else "#888888"),
        ):
            axis.fill([x, x + length, x + length, x], [y + 0.17, y + 0.17, y + 0.24, y + 0.24], color=colour)
