"""Drawings: which data sets consist of them, and pictures in the form of their images.

The document's application (docs/results.md, row B9) resizes a photograph to 28x28 and turns everything darker
than 200 into white ink and the rest black. With a threshold that is given, so does this; otherwise the ink is
found whatever the light (`tracing`), and framed as in the training images.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxnets.data.formats.images import open_image, scale
from jaxnets.data.formats.tracing import trace
from jaxnets.errors import UserError

Ink = Literal["dark", "light"]
Centre = Literal["mass", "box"]

ALIKE = 0.98  # of a data set's images, at least, are drawings in one ink
SHADES = 0.08  # of a drawing, at most, is neither ink nor paper nor near both: 0.04 in scikit-learn's digits
THIN = 3  # pixels of an image: thinner strokes are made as wide, or they would vanish
CONTRAST = 8  # grey levels between ink and paper, at least


@dataclass(frozen=True)
class Drawn:
    """How the images of a data set are drawn; as in MNIST if it is not known.

    Attributes:
        ink: Whether ink is darker or lighter than the paper.
        span: Fraction of an image that its drawing spans, see `ink_span`.
        centre: What is in the middle of an image, see `ink_centre`.
    """

    ink: Ink
    span: float = 20 / 28
    centre: Centre = "mass"


@dataclass(frozen=True)
class Seen:
    """What a network sees of a picture.

    Attributes:
        pixels: Its input, uint8 (H, W, C).
        doubt: Why it may not be what was meant, or None.
    """

    pixels: np.ndarray
    doubt: str | None = None


def ink_of(image: np.ndarray) -> Ink:
    """Returns whether the ink of uint8 images (..., H, W, 1) is dark or light, judging by their borders.

    Examples:
        >>> paper = np.full((28, 28, 1), 230, np.uint8)
        >>> paper[8:20, 13:15] = 40
        >>> ink_of(paper), ink_of(255 - paper)
        ('dark', 'light')
    """
    grey = image[..., 0]
    border = (grey[..., 0, :], grey[..., -1, :], grey[..., :, 0], grey[..., :, -1])
    level = float(np.median(np.concatenate([side.ravel() for side in border])))
    return "dark" if level * 2 > int(image.min()) + int(image.max()) else "light"


def drawn_in(images: np.ndarray) -> Ink | None:
    """Returns the ink of a data set's images if they are drawings, or None if they are anything else.

    Drawings are grey, all in one ink, and have shades only where ink and paper meet.

    Args:
        images: Some of its images, uint8 (N, H, W, C).
    """
    grey = images[..., :1]
    if (images != grey).any():
        return None
    ink = ink_of(grey)
    drawn = [image for image in grey if np.ptp(image) >= CONTRAST and ink_of(image) == ink]
    if len(drawn) < ALIKE * len(grey) or np.mean([_shades(image[..., 0], ink) for image in drawn]) > SHADES:
        return None
    return ink


def _shades(grey: np.ndarray, ink: Ink) -> float:
    """Returns which part of a drawing, (H, W), is neither ink nor paper nor where the two meet."""
    from scipy import ndimage

    level = _level(grey, ink)
    around = max(3, max(grey.shape) // 4)
    meet = (ndimage.minimum_filter(level, around) < 0.3) & (ndimage.maximum_filter(level, around) > 0.7)
    return float(((level > 0.3) & (level < 0.7) & ~meet).sum() / (level > 0.3).sum())


def _level(grey: np.ndarray, ink: Ink) -> np.ndarray:
    """Returns how near pixels are to the ink's end of an image's range, float32 from 0 to 1."""
    level = (grey - np.float32(grey.min())) / max(int(np.ptp(grey)), 1)
    return 1 - level if ink == "dark" else level


def ink_span(images: np.ndarray, ink: Ink) -> float:
    """Returns the fraction of an image that drawings span: the longer side of the box around their ink.

    Args:
        images: uint8 (N, H, W, 1); the result is the median over them.
        ink: Ink of the drawings: the pixels nearer to it than to the other end of an image's range.

    Examples:
        >>> paper = np.full((1, 28, 28, 1), 230, np.uint8)
        >>> paper[0, 7:21, 13:15] = 40
        >>> ink_span(paper, "dark")
        0.5
    """
    spans = []
    for grey in images[..., 0]:
        mask = _level(grey, ink) > (0.5 if np.ptp(grey) else 1)
        extents = [np.ptp(np.flatnonzero(mask.any(axis))) + 1 if mask.any() else 0 for axis in (0, 1)]
        spans.append(max(extents[0] / grey.shape[1], extents[1] / grey.shape[0]))
    return float(np.median(spans))


def ink_centre(images: np.ndarray, ink: Ink) -> Centre:
    """Returns which centre is in the middle of most images: of the ink's mass, as in MNIST, or of its box.

    Args:
        images: uint8 (N, H, W, 1).
        ink: Ink of the drawings.

    Examples:
        >>> angle = np.zeros((1, 28, 28, 1), np.uint8)
        >>> angle[0, 4:24, 4:8] = angle[0, 20:24, 4:24] = 255
        >>> ink_centre(angle, "light"), ink_centre(np.roll(angle, (-4, 4), (1, 2)), "light")
        ('box', 'mass')
    """
    off: dict[Centre, list[float]] = {"mass": [], "box": []}
    for grey in images[..., 0]:
        level = _level(grey, ink)
        if level.any():
            middle = np.divide(grey.shape, 2)
            off["mass"].append(float(np.hypot(*(_mass_centre(level) - middle))))
            off["box"].append(float(np.hypot(*(_box_centre(level) - middle))))
    return "mass" if np.median(off["mass"] or 0) <= np.median(off["box"] or 0) else "box"


def _mass_centre(ink: np.ndarray) -> np.ndarray:
    """Returns the row and column, counted from the edges of the image, of the centre of its ink."""
    rows, columns = (ink.sum(axis) @ (np.arange(ink.shape[1 - axis]) + 0.5) for axis in (1, 0))
    return np.array([rows, columns]) / ink.sum()


def _box_centre(ink: np.ndarray) -> np.ndarray:
    """Returns the row and column of the centre of the box around the ink."""
    found = [np.flatnonzero((ink > 0.5).any(axis)) for axis in (1, 0)]
    return np.array([(one[0] + one[-1] + 1) / 2 for one in found])


def read_image(
    path: Path,
    shape: tuple[int, ...],
    *,
    drawn: Drawn | None = None,
    ink: Ink | None = None,
    threshold: int | None = None,
) -> np.ndarray:
    """Reads an image file of any size and mode for a network.

    Args:
        path: A file that Pillow can read (PNG, JPEG, ...); see `open_image`.
        shape: (H, W, C) that the network takes, C 1 or 3; scaled with a Lanczos filter as in the document.
        drawn: How the network's training images are drawn; None if they are not drawings.
        ink: Ink of this image. By default found out.
        threshold: Pixels darker than this are ink, as in the document. By default ink is found by its edges.

    Returns:
        The image, uint8 (H, W, C).

    Raises:
        UserError: If there is no such file, it is not an image or is truncated, or no ink is found in it.
    """
    image = open_image(path, str(path))
    return as_trained(image, str(path), shape, drawn=drawn, ink=ink, threshold=threshold).pixels


def as_trained(
    image: Any,
    where: str,
    shape: tuple[int, ...],
    *,
    drawn: Drawn | None = None,
    ink: Ink | None = None,
    threshold: int | None = None,
) -> Seen:
    """Returns a Pillow image in the form of a network's training images.

    Pictures for networks that learned anything but drawings, and drawings in the ink of the training images,
    are scaled and otherwise unchanged: of an example's file a network sees what it saw in its training.

    Args:
        image: The image.
        where: Its name, for messages.
        shape: As for `read_image`.
        drawn: As for `read_image`.
        ink: As for `read_image`.
        threshold: As for `read_image`.

    Raises:
        UserError: If no ink is found in it.
    """
    height, width, channels = shape
    size = (height, width)
    pixels = scale(image, channels, size)
    if drawn is None:
        return Seen(pixels, None if np.ptp(pixels, (0, 1)).any() else "all of it has one colour")
    if threshold is None:
        seen = _traced(image, pixels, drawn, ink)
    elif (ink or ink_of(scale(image, 1, size))) == drawn.ink:
        seen = Seen(pixels)
    else:
        seen = Seen(white_ink(pixels, threshold) if drawn.ink == "light" else 255 - pixels)
    if seen is None or np.ptp(seen.pixels) < CONTRAST:
        raise UserError(f"{where}: no ink found: nothing stands out from the paper")
    return seen


def white_ink(image: np.ndarray, threshold: int) -> np.ndarray:
    """Returns uint8 pixels darker than a threshold as white ink (255) and all others as black (0)."""
    return np.where(image < threshold, 255, 0).astype(np.uint8)


def _traced(image: Any, pixels: np.ndarray, drawn: Drawn, ink: Ink | None) -> Seen | None:
    """Returns `pixels` if their ink is the one wanted, or else their ink, framed; None without ink."""
    grey = np.asarray(image.convert("L"))
    if ink is None and grey.shape == pixels.shape[:2]:
        ink = ink_of(grey[..., None])  # as the training images were judged
    if ink == drawn.ink:
        return Seen(pixels)
    found = trace(grey, dark=None if ink is None else ink == "dark")
    if found is None:
        return None
    if found.dark == (drawn.ink == "dark") and not found.on_sheet:
        return Seen(pixels, found.doubt)
    white = framed(found.ink, pixels.shape[:2], drawn)[..., None].repeat(pixels.shape[2], -1)
    return Seen(white if drawn.ink == "light" else 255 - white, found.doubt)


def framed(ink: np.ndarray, size: tuple[int, int], drawn: Drawn) -> np.ndarray:
    """Returns ink as large and in the same place as in training images.

    Args:
        ink: How much of a pixel is ink, float32 (h, w) from 0 to 1, cropped to the ink.
        size: (height, width) of the image.
        drawn: How the training images are drawn.

    Returns:
        White ink (255) on black (0), uint8 (height, width), with shades where a pixel is partly ink.
    """
    from PIL import Image
    from scipy import ndimage

    extent = np.array(ink.shape)
    pixel = max(extent / size) / drawn.span
    width = 4 * ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))[1:-1, 1:-1][ink > 0.5].mean()
    ink = ndimage.grey_dilation(ink, [max(1, round(THIN * pixel - width) + 1)] * 2)
    frame = np.array(size) * pixel
    centre = _mass_centre(ink) if drawn.centre == "mass" else extent / 2
    start = np.clip(centre - frame / 2, np.minimum(extent - frame, 0), 0)  # all of the ink stays inside
    margin = math.ceil(frame.max())
    top, left, bottom, right = np.concatenate([start, start + frame]) + margin
    sheet = Image.fromarray(np.pad(ink, margin))
    small = sheet.resize(size[::-1], Image.Resampling.BOX, box=(left, top, right, bottom))
    return np.rint(255 * np.clip(np.asarray(small), 0, 1)).astype(np.uint8)
