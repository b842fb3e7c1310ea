"""One quiet style: colours that colour-blind readers can tell apart, axes and units named."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxnets.files import complete

# Okabe and Ito's palette (jfly.uni-koeln.de/color)
YELLOW = "#F0E442"  # of which a thin line can hardly be seen on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", YELLOW, "#000000")

STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.dpi": 120,
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "text.parse_math": False,  # a dollar sign in the name of a class or file is one
    "xtick.color": "#666666",
    "ytick.color": "#666666",
}


@contextmanager
def figure(
    path: Path | str | None = None,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (4.0, 3.0),
) -> Iterator[Any]:
    """Yields the axes (rows, columns) of a new picture and saves it at the end.

    Args:
        path: Path of the PNG. By default no file is written: `axes[0, 0].figure` is the picture, which a
            notebook shows as the value of a cell.
        rows: Number of rows of axes.
        columns: Number of columns of axes.
        size: Size of each of the axes, in inches.
    """
    from jaxnets.plots.picture import Picture, styled

    with styled():
        drawing = Picture(figsize=(columns * size[0], rows * size[1]), layout="constrained")
        yield drawing.subplots(rows, columns, squeeze=False)
        if path is not None:
            with complete(Path(path)) as part:
                drawing.savefig(part, format="png")
