"""Pictures, in one quiet style (`jaxnets.plots.style`); importing this does not load matplotlib."""

from jaxnets.plots.charts import compare, curves, decision, lines, precision_recall, race
from jaxnets.plots.classes import MOST_ROWS, confusion
from jaxnets.plots.pictures import feature_maps, images, kernels
from jaxnets.plots.style import COLOURS, STYLE, figure

__all__ = [
    "COLOURS",
    "MOST_ROWS",
    "STYLE",
    "compare",
    "confusion",
    "curves",
    "decision",
    "feature_maps",
    "figure",
    "images",
    "kernels",
    "lines",
    "precision_recall",
    "race",
]
