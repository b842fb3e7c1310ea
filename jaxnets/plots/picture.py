"""Matplotlib's figure in our style, wherever it is drawn: into a file, or by a notebook as a cell's value."""

from contextlib import AbstractContextManager
from io import BytesIO
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxnets.plots.fonts import legible
from jaxnets.plots.style import COLOURS, STYLE


def styled() -> AbstractContextManager:
    """Context manager within which matplotlib's settings are ours."""
    return rc_context(STYLE | {"axes.prop_cycle": cycler(color=COLOURS)})


class Picture(Figure):
    """A figure that belongs to its owner alone.

    It is not pyplot's, which keeps every figure alive, needs a display on some machines, and has notebooks
    draw what a cell left behind a second time.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        """Draws in our style, since ticks are made no sooner, and with fonts that have all letters."""
        with styled(), legible(self):
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Returns the picture for notebooks that do not know matplotlib's figures before pyplot is used."""
        png = BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()
