"""Charts of trainings and measurements."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jaxnets.errors import UserError
from jaxnets.plots.style import COLOURS, YELLOW, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THIN = 0.8  # points, of a curve that is there for comparison
FEW = 15  # points of a line that are marked one by one
MOST_RUNS = 28  # seven colours, four styles of lines


def curves(
    history: Sequence[Mapping[str, Any]],
    path: Path | str | None = None,
    *,
    over: Literal["epoch", "step"] = "epoch",
    title: str = "",
) -> "Figure":
    """Draws accuracy, if it was measured, and loss over the epochs or steps, training and held out.

    The epoch with the least held-out loss is marked.

    Args:
        history: The records of `fit` or `fit_compiled`, or the lines of metrics.jsonl; epochs that were not
            evaluated are left out of the held-out curves.
        path: Path of the PNG. By default none is written.
        over: The x axis.
        title: What was trained on what.

    Raises:
        UserError: If there is neither in the records.

    Examples:
        >>> curves([{"epoch": 1, "loss": 0.5, "accuracy": 0.75}], "curves.png")
        <Picture size 960x360 with 2 Axes>
    """
    measured = {key.removeprefix("val_") for record in history for key in record}
    names = [name for name in ("accuracy", "loss") if name in measured]
    if not names:
        raise UserError("the history holds no loss to draw: train for an epoch first")
    judged = [record for record in history if "val_loss" in record]
    best = min(judged, key=lambda record: record["val_loss"]) if len(judged) > 1 else {}
    with figure(path, 1, len(names)) as axes:
        if title:
            axes[0, 0].figure.suptitle(title, fontsize="medium")
        for axis, name in zip(axes[0], names, strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "held out")):
                known = [(record[over], record[key]) for record in history if key in record]
                if known:
                    axis.plot(*zip(*known, strict=True), label=label, marker="o" if len(known) < 3 else None)
            if f"val_{name}" in best:
                where = (best[over], best[f"val_{name}"])
                axis.plot(
                    *where, "*", color="black", markersize=10, label=f"least loss held out: {over} {where[0]}"
                )
            axis.set_xlabel(over)
            axis.set_ylabel(name)
            _tick_whole_numbers(axis)
            axis.legend(fontsize="small")
    return axes[0, 0].figure


def compare(
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    path: Path | str | None = None,
    *,
    measures: Sequence[str] = ("accuracy", "loss"),
) -> "Figure":
    """Draws several trainings in one picture, a panel for every measure: thick held out, thin in training.

    Of more than four trainings, only the held-out curves are drawn, where there are any.

    Args:
        histories: {name of a training: its records, as `fit` returns them}, at most 28.
        path: Path of the PNG. By default none is written.
        measures: Names of the measures.

    Raises:
        UserError: If there are too many trainings to tell apart, or the file cannot be written.
    """
    import textwrap

    from matplotlib.lines import Line2D

    if len(histories) > MOST_RUNS:
        raise UserError(f"{len(histories)} trainings in one picture: {MOST_RUNS} can be told apart at most")
    colours = [colour for colour in COLOURS if colour != YELLOW]
    styles: list[dict[str, Any]] = [
        {"color": colour, "linestyle": line} for line in ("-", "--", ":", "-.") for colour in colours
    ]
    width = 55 * len(measures)  # letters in the legend
    names = [textwrap.fill(name, width) for name in histories]
    handles = [Line2D([], [], label=name, **style) for name, style in zip(names, styles, strict=False)]
    handles.append(Line2D([], [], color="#666666", linewidth=THIN, label="thin: on the training examples"))
    height = 3.0 + 0.2 * sum(1 + name.count("\n") for name in names)
    with figure(path, 1, len(measures), size=(4.0, height)) as axes:
        thin = False
        for axis, measure in zip(axes[0], measures, strict=True):
            for history, style in zip(histories.values(), styles, strict=False):
                held_out, training = (_points(history, name) for name in (f"val_{measure}", measure))
                _draw(axis, held_out, **style)
                if len(histories) <= 4 or not held_out:
                    _draw(axis, training, **style, linewidth=THIN)
                    thin = thin or bool(training)
            axis.set_xlabel("epoch")
            axis.set_ylabel(measure)
            _tick_whole_numbers(axis)
        shown = handles if thin else handles[:-1]
        axes[0, 0].figure.legend(handles=shown, loc="outside lower left", fontsize=9)
    return axes[0, 0].figure


def _tick_whole_numbers(axis: Any) -> None:
    """Sets the x axis's ticks at whole numbers, and only a few where long numbers would touch each other."""
    from matplotlib.ticker import MaxNLocator

    last = axis.get_xlim()[1]
    most = 10 if last < 100 else 6 if last < 100_000 else 4
    axis.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.ticklabel_format(axis="x", style="plain", useOffset=False)


def _points(history: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(record["epoch"], record[name]) for record in history if name in record]


def _draw(axis: Any, points: Sequence[tuple[int, float]], **style: Any) -> None:
    if points:
        axis.plot(*zip(*points, strict=True), marker="o" if len(points) < 3 else None, **style)


def lines(
    panels: Mapping[str, Mapping[str, tuple[Any, Any]]],
    path: Path | str | None = None,
    *,
    xlabel: str,
    logarithmic: Collection[str] = (),
    title: str = "",
) -> "Figure":
    """Draws labelled lines, one panel for every quantity, side by side; a label has one colour in all.

    Args:
        panels: {name of the y axis: {label of the line: (x, y)}}.
        path: Path of the PNG. By default none is written.
        xlabel: Name of the x axis.
        logarithmic: Names of the panels with a logarithmic y axis.
        title: What was trained on what.
    """
    labels = dict.fromkeys(label for series in panels.values() for label in series)
    colours = dict(zip(labels, itertools.cycle(COLOURS), strict=False))  # a label has one in all panels
    with figure(path, 1, len(panels)) as axes:
        if title:
            axes[0, 0].figure.suptitle(title, fontsize="medium")
        for axis, (ylabel, series) in zip(axes[0], panels.items(), strict=True):
            for label, (x, y) in series.items():
                marker = "o" if len(x) <= FEW else None
                axis.plot(x, y, label=label, color=colours[label], marker=marker, markersize=4)
            axis.set_xlabel(xlabel)
            axis.set_ylabel(ylabel)
            axis.locator_params(axis="x", nbins=5)
            if ylabel in logarithmic:
                _logarithmic(axis, "y")
            if len(series) > 1:
                axis.legend()
    return axes[0, 0].figure


def _logarithmic(axes: Any, which: Literal["x", "y"]) -> None:
    """Makes an axis logarithmic, its numbers in plain letters: in this style dollar signs are no markup."""
    from matplotlib.ticker import LogFormatter

    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.4)))


def _neighbours(values: Any, most: int = 30) -> tuple[list[float], list[float]]:
    """Returns x and y of at most so many points, evenly spread over a logarithmic axis of epochs.

    A point is the mean of the epochs around it, so that one that swings does not fill the picture.
    """
    values = np.asarray(values, np.float64)
    ends = np.unique(np.geomspace(1, len(values) + 1, most + 1).astype(int))
    parts = [np.arange(start, end) for start, end in itertools.pairwise(ends)]
    return [float(np.exp(np.log(part).mean())) for part in parts], [values[part - 1].mean() for part in parts]


def race(histories: Mapping[str, Mapping[str, Any]], path: Path | str | None = None) -> "Figure":
    """Draws several trainings of one network on one chart: loss, accuracy and seconds.

    Args:
        histories: {name: {"loss": (epochs,), "accuracy": (epochs,), "seconds": number}}, at most 8.
        path: Path of the PNG. By default none is written.
    """
    with figure(path, 1, 3, size=(4.0, 3.2)) as axes:
        for axis, quantity in zip(axes[0], ("loss", "accuracy"), strict=False):
            for name, history in histories.items():
                axis.plot(*_neighbours(history[quantity]), label=name)
            _logarithmic(axis, "x")  # most happens in the first epochs
            axis.set_xlabel("epoch (means of neighbouring ones)")
            axis.set_ylabel({"loss": "training loss", "accuracy": "test accuracy"}[quantity])
        axes[0, 0].legend()
        names = list(histories)
        seconds = [histories[name]["seconds"] for name in names]
        bars = axes[0, 2].barh(names, seconds, color=COLOURS[: len(names)], height=0.6)
        axes[0, 2].bar_label(bars, fmt="%.2f", padding=3, color="#333333")
        axes[0, 2].invert_yaxis()
        axes[0, 2].grid(False)
        axes[0, 2].margins(x=0.15)
        axes[0, 2].locator_params(axis="x", nbins=4)
        axes[0, 2].set_xlabel("time (s), compilation included")
    return axes[0, 0].figure


def decision(
    surfaces: Mapping[str, np.ndarray],
    grid: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    path: Path | str | None = None,
) -> "Figure":
    """Draws labelled points and the 0.5 contour of each of several networks, side by side.

    Args:
        surfaces: {title: the network's output (n, n)} over the square grid x grid.
        grid: Coordinates of the grid along each axis, (n,).
        x: Points, (N, 2).
        labels: Labels 0 or 1, (N,).
        path: Path of the PNG. By default none is written.
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
    return axes[0, 0].figure


def precision_recall(
    recalls: Any, precisions: Any, best: Any, mean: float, path: Path | str | None = None
) -> "Figure":
    """Draws precision over recall, its running maximum from the right, and the average precision.

    Args:
        recalls: Recalls, (N,).
        precisions: Precisions, (N,).
        best: The best precision at each recall or a higher one, (N,).
        mean: The average precision.
        path: Path of the PNG. By default none is written.
    """
    with figure(path, size=(5.0, 3.6)) as axes:
        axis = axes[0, 0]
        axis.plot(recalls, best, marker="o", label="best from here on")
        axis.plot(recalls, precisions, marker="s", markersize=4, linestyle="--", label="precision")
        axis.axhline(mean, color=COLOURS[2], linestyle=":", label=f"average precision {mean:.4f}")
        axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axis.legend(loc="lower left")
    return axes[0, 0].figure
