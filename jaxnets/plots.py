"""Pictures, in one quiet style: colours that colour-blind readers can tell apart, axes and units named."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
        history: the records of `fit` or `fit_whole`, or the lines of metrics.jsonl; epochs that were not
            judged are passed over.
        path: of the PNG.
    """
    from matplotlib.ticker import MaxNLocator

    with figure(path, 1, 2) as axes:
        for axis, name in zip(axes[0], ("accuracy", "loss"), strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "held out")):
                known = [(record["epoch"], record[key]) for record in history if key in record]
                if known:
                    axis.plot(*zip(*known, strict=True), label=label, marker="o" if len(known) < 3 else None)
            axis.set_xlabel("epoch")
            axis.set_ylabel(name)
            axis.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
            axis.legend()


def lines(
    panels: Mapping[str, Mapping[str, tuple[Any, Any]]],
    path: Path,
    *,
    xlabel: str,
    logarithmic: Collection[str] = (),
) -> None:
    """Draws labelled lines, one panel for every quantity, side by side.

    Args:
        panels: {name of the y axis: {label of the line: (x, y)}}.
        path: of the PNG.
        xlabel: name of the x axis.
        logarithmic: names of the panels whose y axis is.
    """
    with figure(path, 1, len(panels)) as axes:
        for axis, (ylabel, series) in zip(axes[0], panels.items(), strict=True):
            for label, (x, y) in series.items():
                axis.plot(x, y, label=label)
            axis.set_xlabel(xlabel)
            axis.set_ylabel(ylabel)
            axis.locator_params(axis="x", nbins=5)
            if ylabel in logarithmic:
                axis.set_yscale("log")
            if len(series) > 1:
                axis.legend()


def race(histories: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draws several trainings of one network on one chart: loss, accuracy and seconds.

    Args:
        histories: {name: {"loss": (epochs,), "accuracy": (epochs,), "seconds": number}}, at most 8.
        path: of the PNG.
    """
    with figure(path, 1, 3, size=(4.0, 3.2)) as axes:
        for axis, quantity in zip(axes[0], ("loss", "accuracy"), strict=False):
            for name, history in histories.items():
                axis.plot(
                    np.arange(1, 1 + len(history[quantity])),
                    history[quantity],
                    label=name,
                    linewidth=1.2,
                    alpha=0.85,
                )
            axis.set_xscale("log")  # most happens in the first epochs, and one optimizer swings there
            axis.set_xlabel("epoch")
            axis.set_ylabel({"loss": "training loss", "accuracy": "test accuracy"}[quantity])
        axes[0, 0].legend()
        names = list(histories)
        seconds = [histories[name]["seconds"] for name in names]
        bars = axes[0, 2].barh(names, seconds, color=COLOURS[: len(names)], height=0.6)
        axes[0, 2].bar_label(bars, fmt="%.2f", padding=3, color="#333333")
        axes[0, 2].invert_yaxis()
        axes[0, 2].grid(False)
        axes[0, 2].margins(x=0.15)
        axes[0, 2].set_xlabel("time (s), compilation included")


def decision(
    surfaces: Mapping[str, np.ndarray], grid: np.ndarray, x: np.ndarray, labels: np.ndarray, path: Path
) -> None:
    """Draws labelled points and the 0.5 contour of each of several networks, side by side.

    Args:
        surfaces: {title: the network's output (n, n)} over the square grid x grid.
        grid: (n,).
        x: points (N, 2).
        labels: 0 or 1 (N,).
        path: of the PNG.
    """
    with figure(path, 1, len(surfaces), size=(4.0, 4.4)) as axes:
        for axis, (title, surface) in zip(axes[0], surfaces.items(), strict=True):
            axis.contourf(grid, grid, surface.T, levels=[0.5, np.inf], colors=[COLOURS[1]], alpha=0.12)
            for label, colour, marker in ((0, COLOURS[0], "o"), (1, COLOURS[1], "^")):
                chosen = x[labels == label]
                axis.scatter(
                    chosen[:, 0], chosen[:, 1], s=14, color=colour, marker=marker, label=f"class {label}"
                )
            axis.contour(grid, grid, surface.T, levels=[0.5], colors=["#000000"])
            axis.set(title=title, xlabel="x1", ylabel="x2", aspect="equal")
            axis.set_xlim(grid[0], grid[-1])
            axis.set_ylim(grid[0], grid[-1])
        axes[0, 0].legend(loc="lower left", fontsize="small")


def precision_recall(recalls: Any, precisions: Any, best: Any, mean: float, path: Path) -> None:
    """Draws precision over recall, its running maximum from the right and the mean of that.

    Args:
        recalls: (N,).
        precisions: (N,).
        best: (N,), the best precision at that recall or a higher one.
        mean: average precision.
        path: of the PNG.
    """
    with figure(path, size=(5.0, 3.6)) as axes:
        axis = axes[0, 0]
        axis.plot(recalls, best, marker="o", label="best from here on")
        axis.plot(recalls, precisions, marker="s", markersize=4, linestyle="--", label="precision")
        axis.axhline(mean, color=COLOURS[2], linestyle=":", label=f"average precision {mean:.4f}")
        axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axis.legend(loc="lower left")


def images(
    pictures: Iterable[np.ndarray],
    titles: Sequence[str],
    path: Path,
    *,
    columns: int = 8,
    size: tuple[float, float] = (1.1, 1.3),
) -> None:
    """Draws a grid of images, each under its title; a title that ends in "!" is drawn in the warning colour.

    Args:
        pictures: uint8 (H, W, 1 or 3) each.
        titles: one line each.
        path: of the PNG.
        columns: images in a row.
        size: of one of them with its title, in inches.
    """
    rows = -(-len(titles) // columns)
    with figure(path, rows, columns, size=size) as axes:
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, picture, title in zip(axes.flat, pictures, titles, strict=False):
            picture = picture[..., 0] if picture.shape[-1] == 1 else picture
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_title(title, fontsize=8, color=COLOURS[1] if title.endswith("!") else "#333333")
