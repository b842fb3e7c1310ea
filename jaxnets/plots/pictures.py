"""Pictures of images with titles and boxes, of kernels, and of feature maps."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnets.errors import UserError
from jaxnets.plots.fonts import shorten, width
from jaxnets.plots.style import COLOURS, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNED = "cividis"  # grey in the middle, with brightness rising throughout: it survives printing in grey

POINTS = (5.5, 8)  # size of a title's letters
LETTER = 0.6  # width of a letter, in ems


def images(
    pictures: Iterable[np.ndarray],
    titles: Sequence[str],
    path: Path | str | None = None,
    *,
    columns: int = 8,
    size: tuple[float, float] = (1.1, 1.3),
    boxes: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> "Figure":
    """Draws a grid of images, each under its title; a title that ends in "!" is drawn in the warning colour.

    Args:
        pictures: Images, uint8 (H, W, 1 or 3).
        titles: A title per image, of one or more lines.
        path: Path of the PNG. By default none is written.
        columns: Number of images in a row.
        size: Size of an image with its title, in inches.
        boxes: {name in the legend: for every image (4,) or (K, 4)}, such as {"true": ..., "predicted": ...}:
            the edges ymin, xmin, ymax, xmax as fractions of the image, as in TFDS.
    """
    columns = max(1, min(columns, len(titles)))
    rows = max(1, -(-len(titles) // columns))
    with figure(path, rows, columns, size=size) as axes:
        for axis in axes.flat:
            axis.set_axis_off()
        for index, (axis, picture, title) in enumerate(zip(axes.flat, pictures, titles, strict=False)):
            picture = picture[..., 0] if picture.shape[-1] == 1 else picture
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            _set_title(axis, title, size[0], COLOURS[1] if title.endswith("!") else "#333333")
            _draw_boxes(axis, {name: each[index] for name, each in (boxes or {}).items()}, picture.shape)
        if boxes:
            drawing = axes[0, 0].figure
            drawing.legend(
                *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(boxes)
            )
    return axes[0, 0].figure


def _set_title(axis: Any, title: str, room: float, colour: str = "#333333") -> None:
    """Sets a title in letters as small as it takes to stay above its picture, or else cut off.

    Args:
        axis: The axes of the picture.
        title: One or more lines.
        room: Width of the picture, in inches.
        colour: Colour of the letters.
    """
    fitting = room * 72 / LETTER  # letters of one point
    lines = title.split("\n")
    points = float(np.clip(fitting / max(1, *map(width, lines)), *POINTS))
    short = (shorten(line, int(fitting / points)) for line in lines)
    axis.set_title("\n".join(short), fontsize=points, color=colour)


def _draw_boxes(axis: Any, boxes: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> None:
    """Draws boxes with a white rim, visible on any photo, told apart by their dashes even without colours."""
    from matplotlib.patches import Rectangle

    size = np.array([*shape[:2], *shape[:2]])
    if boxes:  # a rim for boxes that reach beyond the image, the same around all images
        height, width = (0.12 * side for side in shape[:2])
        axis.set(xlim=(-0.5 - width, shape[1] - 0.5 + width), ylim=(shape[0] - 0.5 + height, -0.5 - height))
    for (name, edges), colour, dashes in zip(boxes.items(), COLOURS, ("-", "--", ":", "-."), strict=False):
        for number, (top, left, bottom, right) in enumerate(np.reshape(edges, (-1, 4)) * size):
            for rim in (True, False):
                axis.add_patch(
                    Rectangle(
                        (left - 0.5, top - 0.5),  # pixel i is drawn from i - 0.5 to i + 0.5
                        right - left,
                        bottom - top,
                        fill=False,
                        edgecolor="white" if rim else colour,
                        linewidth=3.2 if rim else 1.8,
                        linestyle="-" if rim else dashes,
                        label=name if not (rim or number) else None,
                    )
                )


def kernels(kernel: Any, path: Path | str | None = None, *, columns: int = 8) -> "Figure":
    """Draws the kernels of a first layer, all on one scale on which grey is zero.

    Args:
        kernel: Kernels, (H, W, C, N), C 1 or 3: kernels of three channels are shown as colours.
        path: Path of the PNG. By default none is written.
        columns: Number of kernels in a row.

    Raises:
        UserError: If the kernel has another number of axes or channels.
    """
    kernel = np.asarray(kernel, np.float32)
    if kernel.ndim != 4 or kernel.shape[2] not in (1, 3):
        raise UserError(f"kernels of shape {kernel.shape}: they must be (H, W, 1 or 3, N) to be drawn")
    largest = float(np.abs(kernel).max()) or 1.0
    each = np.moveaxis(kernel, -1, 0)
    each = 0.5 + each / (2 * largest) if kernel.shape[2] == 3 else each[..., 0]
    height, width, channels, number = kernel.shape
    title = f"{number} kernels of {height}x{width}" + (
        ", red, green and blue around grey" if channels == 3 else ""
    )
    limits = (-largest, largest)
    return _grid(each, path, columns, size=(1.0, 1.0), limits=limits, label="weight", title=title)


def feature_maps(
    maps: Any,
    path: Path | str | None = None,
    *,
    titles: Sequence[str] = (),
    columns: int = 8,
    size: tuple[float, float] = (1.2, 1.2),
) -> "Figure":
    """Draws the feature maps of a layer for one image, all on one scale.

    Args:
        maps: Feature maps, (H, W, N).
        path: Path of the PNG. By default none is written.
        titles: A title per map, or none.
        columns: Number of maps in a row.
        size: Size of a map, in inches.
    """
    each = np.moveaxis(np.asarray(maps, np.float32), -1, 0)
    low, high = float(each.min()), float(each.max())
    if low < 0:  # signed: grey is zero, as for kernels
        low, high = -max(-low, high), max(-low, high)
    return _grid(each, path, columns, size=size, limits=(low, high), label="activation", titles=titles)


def _grid(
    each: np.ndarray,
    path: Path | str | None,
    columns: int,
    *,
    size: tuple[float, float],
    limits: tuple[float, float],
    label: str,
    titles: Sequence[str] = (),
    title: str = "",
) -> "Figure":
    """Draws numbers (N, H, W) on one scale with a colour bar, or colours (N, H, W, 3)."""
    columns = min(columns, len(each))
    with figure(path, -(-len(each) // columns), columns, size=size) as axes:
        if title:
            axes[0, 0].figure.suptitle(title, fontsize="medium")
        for axis in axes.flat:
            axis.set_axis_off()
        shown = None
        for axis, one in zip(axes.flat, each, strict=False):
            shown = axis.imshow(one, cmap=SIGNED, vmin=limits[0], vmax=limits[1])
        for axis, title in zip(axes.flat, titles, strict=False):
            _set_title(axis, title, size[0])
        if each.ndim == 3:
            bar = axes[0, 0].figure.colorbar(shown, ax=axes, aspect=min(30, 10 * len(axes)), label=label)
            bar.outline.set_visible(False)
    return axes[0, 0].figure
