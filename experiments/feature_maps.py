"""What two hand-made filters detect in two photos, and what pooling keeps of them (F1, F2).

    python experiments/feature_maps.py

A 7x7 filter that is 1 along its middle column, and one that is 1 along its middle row, in all three colours,
over china.jpg and flower.jpg (427x640, values 0 to 1) with "same" padding; then 2x2 max, 2x2 average and
global average pooling of the crops [150:220, 130:250]. Documented: the six global averages of `DOCUMENTED`.
"""

from jaxnets.cli import commandline

from jaxnets import data, nn, plots, report

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

COLOURS = ("red", "green", "blue")
DOCUMENTED = {
    f"global average, {photo}, {colour}": value
    for photo, values in {
        "china": (0.2788801, 0.22507527, 0.20967631),
        "flower": (0.51287866, 0.4595188, 0.3342377),
    }.items()
    for colour, value in zip(COLOURS, values, strict=True)
}
CROP = (slice(150, 220), slice(130, 250))


def line_filters() -> np.ndarray:
    """A vertical and a horizontal line of ones: (7, 7, 3, 2)."""
    filters = np.zeros((7, 7, 3, 2), np.float32)
    filters[:, 3, :, 0] = 1
    filters[3, :, :, 1] = 1
    return filters


def draw(pictures: Mapping[str, Any], path: Path, columns: int, size: tuple[float, float]) -> None:
    """A grid of pictures (H, W) or (H, W, 3) by title; each grey one spans black to white."""
    with plots.figure(path, -(-len(pictures) // columns), columns, size) as axes:
        for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
            axis.imshow(np.asarray(picture), cmap="gray")
            axis.set(title=title, xticks=[], yticks=[])
            axis.spines[:].set_visible(True)


def main(*, workdir: Path = Path("runs/feature_maps")) -> dict[str, Any]:
    """Filter, pool and draw the results.

    Args:
        workdir: Folder for filters.png, maps.png, crops.png and pooling.png.
    """
    photos = data.photos()
    names = photos.features.classes
    x = jnp.asarray(photos.x, jnp.float32) / 255
    # filters over the whole photos
    filters = line_filters()
    kinds = ("vertical", "horizontal")
    maps = jax.jit(lambda x: nn.correlate(x, jnp.asarray(filters), padding="same"))(x)
    # pooling of the crops
    crops = x[:, *CROP]
    pooled = {"crop": crops, "2x2 maximum": nn.max_pool(crops, 2), "2x2 average": nn.avg_pool(crops, 2)}
    averages = nn.global_avg_pool(crops)
    measured: dict[str, Any] = {
        f"global average, {name}, {colour}": float(averages[row, channel])
        for row, name in enumerate(names)
        for channel, colour in enumerate(COLOURS)
    }
    report.beside(DOCUMENTED, {name: round(value, 8) for name, value in measured.items()})
    # pictures
    draw(
        {f"{kind} line": filters[..., 0, number] for number, kind in enumerate(kinds)},
        workdir / "filters.png",
        columns=2,
        size=(1.6, 1.8),
    )
    seen = {
        f"{name}{what}": picture
        for row, name in enumerate(names)
        for what, picture in (
            ("", x[row]),
            *((f", {kind} lines", maps[row, ..., number]) for number, kind in enumerate(kinds)),
        )
    }
    draw(seen, workdir / "maps.png", columns=3, size=(3.2, 2.4))
    parts = {title: picture[CROP] for title, picture in seen.items()}
    draw(parts, workdir / "crops.png", columns=3, size=(3.2, 2.2))
    shrunk = {
        f"{name}: {what}, {images.shape[1]}x{images.shape[2]}": images[row]
        for row, name in enumerate(names)
        for what, images in pooled.items()
    }
    draw(shrunk, workdir / "pooling.png", columns=3, size=(3.2, 2.2))
    return measured | {"history": [], "dataset": "china.jpg, flower.jpg"}


if __name__ == "__main__":
    commandline.run(main)
