"""Image files in the form of a network's training images: size, channels, light ink on dark or the reverse.

The document's application (docs/results.md, row B9) resizes to 28x28 and turns everything darker than 200
into white ink and the rest black. That is right for dark ink on light paper and networks that learned white
digits on black, so whether an image's ink is dark or light is determined from the image, unless it is given.
"""

import importlib.util
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxnets.errors import UserError, reason

Ink = Literal["dark", "light"]

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
CV2 = importlib.util.find_spec("cv2") is not None
THRESHOLD = 200  # as in the document: darker pixels are ink


def ink_of(image: np.ndarray) -> Ink:
    """Returns whether the ink of uint8 images (..., H, W, 1) is dark or light, judging by their borders.

    Examples:
        >>> paper = np.full((28, 28, 1), 230, np.uint8)
        >>> paper[8:20, 13:15] = 40
        >>> ink_of(paper), ink_of(255 - paper)
        ('dark', 'light')
    """
    low, high = int(image.min()), int(image.max())
    return "dark" if _border_level(image) * 2 > low + high else "light"


def _border_level(image: np.ndarray) -> float:
    grey = image[..., 0]
    border = (grey[..., 0, :], grey[..., -1, :], grey[..., :, 0], grey[..., :, -1])
    return float(np.median(np.concatenate([side.ravel() for side in border])))


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
        middle = (int(grey.min()) + int(grey.max())) / 2
        mask = grey < middle if ink == "dark" else grey > middle
        extents = [np.ptp(np.flatnonzero(mask.any(axis))) + 1 if mask.any() else 0 for axis in (0, 1)]
        spans.append(max(extents[0] / grey.shape[1], extents[1] / grey.shape[0]))
    return float(np.median(spans))


def white_ink(image: np.ndarray, threshold: int | None = None) -> np.ndarray:
    """Returns dark ink on light paper as white ink (255) on black (0).

    Args:
        image: uint8 (H, W, 1).
        threshold: Pixels darker than this are ink. By default the document's 200 if the paper is brighter
            than that, or else, as in dim photographs, halfway between the paper and the darkest ink.
    """
    if threshold is None:
        paper = _border_level(image)
        threshold = THRESHOLD if paper > THRESHOLD else round((paper + int(image.min())) / 2)
    return np.where(image < threshold, 255, 0).astype(np.uint8)


def read_image(
    path: Path,
    shape: tuple[int, ...],
    *,
    wanted: Ink | None = None,
    ink: Ink | None = None,
    threshold: int | None = None,
) -> np.ndarray:
    """Reads an image file of any size and mode for a network.

    Args:
        path: A file that Pillow can read (PNG, JPEG, ...); see `open_image`.
        shape: (H, W, C) that the network takes, C 1 or 3; scaled with a Lanczos filter as in the document.
        wanted: The ink of the network's training images; None if they are not drawings.
        ink: Ink of this image. By default determined from its border.
        threshold: See `white_ink`.

    Returns:
        The image, uint8 (H, W, C).

    Raises:
        UserError: If there is no such file, or it is not an image or is truncated.
    """
    return as_trained(open_image(path, str(path)), shape, wanted=wanted, ink=ink, threshold=threshold)


def as_trained(
    image: Any,
    shape: tuple[int, ...],
    *,
    wanted: Ink | None = None,
    ink: Ink | None = None,
    threshold: int | None = None,
) -> np.ndarray:
    """Returns a Pillow image in the form of a network's training images; arguments as for `read_image`."""
    height, width, channels = shape
    pixels = scale(image, channels, (height, width))
    if wanted is None or (ink or ink_of(pixels)) == wanted:
        return pixels
    return white_ink(pixels, threshold) if wanted == "light" else 255 - pixels


def open_image(file: Any, where: str, *, check: bool = False, largest: int | None = None) -> Any:
    """Opens an image file and decodes all of it.

    Args:
        file: Path of the file, or a binary file.
        where: Name of the image, for messages.
        check: Whether to verify the checksums of a PNG first, which decoding alone does not.
        largest: Greatest number of pixels, checked before any is decoded. By default Pillow's own limit.

    Returns:
        A Pillow image, mode L (for grey files, whatever their depth) or RGB. The EXIF rotation is applied,
        and transparent parts become white paper.

    Raises:
        UserError: If there is no such file, or it is not an image, is truncated or has too many pixels.
    """
    from PIL import Image, ImageOps

    try:
        if check:
            with Image.open(file, formats=FORMATS) as opened:
                opened.verify()
        with Image.open(file, formats=FORMATS) as opened:
            if largest is not None and opened.width * opened.height > largest:
                raise UserError(
                    f"{where}: {opened.width} x {opened.height} pixels are too many; make it smaller, "
                    f"{largest:,} pixels at most"
                )
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
                grey = image.mode in ("1", "L", "LA", "La")
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                return image.convert("L" if grey else "RGB")
            if image.mode.startswith("I"):  # 16 bits of grey
                return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
            return image.convert("L" if image.mode in ("1", "L", "F") else "RGB")
    except FileNotFoundError as error:
        raise UserError(f"{where}: there is no such file") from error
    except UserError:
        raise
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise UserError(
            f"{where}: not an image that can be read ({reason(error)}); use PNG or JPEG"
        ) from error


def decode(content: bytes, channels: int, where: str) -> np.ndarray:
    """Returns the pixels of a PNG or JPEG as they are stored: uint8 (H, W, channels).

    OpenCV decodes if it is installed, three to eight times faster on small images than Pillow; both give the
    same bytes. As in TFDS, neither EXIF rotation nor transparency is applied.

    Raises:
        UserError: If it is not an image, or is truncated.
    """
    if CV2:
        import cv2

        how = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), how | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            return pixels.reshape(*pixels.shape[:2], channels)
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            pixels = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise UserError(f"{where}: not an image that can be read ({reason(error)})") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def scale(image: Any, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Returns a Pillow image, or uint8 (H, W, 1 or 3), as uint8 (*size, channels).

    If the size differs, it is scaled with a Lanczos filter, which averages over pixels when shrinking.
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        if image.shape == (*size, channels):
            return image
        image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(*size, channels)
