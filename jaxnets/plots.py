"""Pictures, in one quiet style: colours that colour-blind readers can tell apart, axes and units named."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

# Okabe and Ito's palette (jfly.uni-koeln.de/color)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")

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
    "xtick.color": "#666666",
    "ytick.color": "#666666",
}


@contextmanager
def figure(
    path: Path, rows: int = 1, columns: int = 1, size: tuple[float, float] = (4.0, 3.0)
) -> Iterator[Any]:
    """Yields the axes (rows, columns) of a new picture and saves it at the end.

    Args:
        path: of the PNG.
        rows: of axes.
        columns: of axes.
        size: of one of the axes, in inches.
    """
    from cycler import cycler
    from matplotlib import rc_context

    with rc_context(STYLE | {"axes.prop_cycle": cycler(color=COLOURS)}):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # Not pyplot: it keeps every figure alive and wants a display on some machines.
        drawing = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
        FigureCanvasAgg(drawing)
        yield drawing.subplots(rows, columns, squeeze=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(path)


def curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws accuracy and loss over the epochs, training and held out, side by side.

    Args:
        history: the records of `fit`, or the lines of metrics.jsonl.
        path: of the PNG.
    """
    from matplotlib.ticker import MaxNLocator

    epochs = [record["epoch"] for record in history]
    with figure(path, 1, 2) as axes:
        for axis, name in zip(axes[0], ("accuracy", "loss"), strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "held out")):
                if history and key in history[0]:
                    values = [record[key] for record in history]
                    axis.plot(epochs, values, label=label, marker="o" if len(epochs) < 3 else None)
            axis.set_xlabel("epoch")
            axis.set_ylabel(name)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.legend()


def images(pictures: Iterable[np.ndarray], titles: Sequence[str], path: Path, *, columns: int = 8) -> None:
    """Draws a grid of images, each under its title; a title that ends in "!" is drawn in the warning colour.

    Args:
        pictures: uint8 (H, W, 1 or 3) each.
        titles: one line each.
        path: of the PNG.
        columns: images in a row.
    """
    rows = -(-len(titles) // columns)
    with figure(path, rows, columns, size=(1.1, 1.3)) as axes:
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, picture, title in zip(axes.flat, pictures, titles, strict=False):
            picture = picture[..., 0] if picture.shape[-1] == 1 else picture
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_title(title, fontsize=8, color=COLOURS[1] if title.endswith("!") else "#333333")
