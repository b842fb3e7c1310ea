"""Comparison of a classifier's predictions with the labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnets.plots.fonts import width
from jaxnets.plots.style import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERS = 30  # classes; with more the cells are too small to write in
MOST_ROWS = 1000  # a picture has no pixels for more


def confusion(
    matrix: Any,
    classes: Sequence[str],
    path: Path | str | None = None,
    *,
    correct: float | None = None,
    group: int = 1,
) -> "Figure":
    """Draws a confusion matrix: counts, the fraction of each true class as colour, and how much was right.

    Args:
        matrix: How often examples of a class (row) were predicted as a class (column), (N, N), as returned by
            `metrics.confusion_matrix`.
        classes: Names of the classes.
        path: Path of the PNG. By default none is written.
        correct: How much was right. By default what the matrix says.
        group: How many classes a row of the matrix stands for.
    """
    matrix = np.asarray(matrix, np.float64)
    number, totals = len(classes), matrix.sum(-1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    side = float(np.clip(0.42 * number + 1.6, 4.5, 13.0))
    from matplotlib.colors import PowerNorm

    with figure(path, size=(side + 1.6, side)) as axes:
        axis = axes[0, 0]
        # The root makes one mistake in a hundred visible beside ninety-nine right answers.
        # "auto", since the layout makes too little room for the labels of axes that keep their shape.
        shown = axis.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), aspect="auto")
        axis.grid(False)
        axis.spines[:].set_visible(False)
        each = f", {group} classes a row" if group > 1 else ""
        axis.set(xlabel="predicted", ylabel=f"true{each}")
        if number <= MOST_NUMBERS:
            axis.tick_params(length=0)
            upright = max(map(width, classes)) > 3
            axis.set_xticks(range(number), classes, rotation=90 if upright else 0)
            axis.set_yticks(range(number), classes)
            for (row, column), count in np.ndenumerate(matrix):
                if count:
                    colour = "white" if shares[row, column] > 0.35 else "#333333"
                    text = f"{count:.0f}"
                    small = 9 if len(text) < 4 else 7
                    axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=small)
            right = axis.secondary_yaxis("right")
            recalls = [
                f"{share:.1%}" if total else "-"
                for share, total in zip(shares.diagonal(), totals, strict=True)
            ]
            right.set_yticks(range(number), recalls)
            right.tick_params(length=0, labelsize=8)
            right.spines[:].set_visible(False)
        correct = matrix.trace() / max(matrix.sum(), 1) if correct is None else correct
        where = "; class by class at the right edge" if number <= MOST_NUMBERS else ""
        axis.set_title(f"{correct:.2%} of {matrix.sum():,.0f} right{where}")
        bar = axis.figure.colorbar(
            shown, ax=axis, label="share of the true class", shrink=0.7, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1]
        )
        bar.ax.set_yticklabels(["0", "1%", "10%", "25%", "50%", "100%"])
        bar.outline.set_visible(False)
    return axes[0, 0].figure
