"""Pixels of more than 8 bits: scaled to bytes by the range of their format, never by what one image holds."""

from typing import Any

import numpy as np

from jaxnets.errors import UserError

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF's tags
UNSIGNED, WHITE_IS_ZERO = 1, 0  # values of the last two


def eight_bits(image: Any, opened: Any, where: str) -> Any:
    """Returns a Pillow image whose pixels are bytes: their 8 highest bits, as PNG decoders take them.

    Args:
        image: The image, decoded.
        opened: The image as it was opened, which knows its format and the tags of a TIFF.
        where: Name of the image, for messages.

    Raises:
        UserError: If its pixels have no range that is known: signed, of 32 bits, or floating-point.
    """
    deep = image.mode.startswith(("I", "F"))  # of colours Pillow gives the 8 highest bits itself
    tags = opened.tag_v2 if opened.format == "TIFF" else {}
    bits = tags.get(BITS, (16,))[0]
    if image.mode == "F" or set(tags.get(SAMPLE_FORMAT, (UNSIGNED,))) != {UNSIGNED} or (deep and bits > 16):
        raise UserError(
            f"{where}: its pixels are signed, of 32 bits or floating-point numbers, which do not tell where "
            "black and white are: save it with 8 or 16 bits a channel"
        )
    if not deep:
        return image
    from PIL import Image

    pixels = (np.asarray(image).astype(np.int64) >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(255 - pixels if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else pixels)


def check_pixels(pixels: np.ndarray, what: str) -> None:
    """Checks that an array of images does not hold whole numbers whose range is unknown.

    Whole numbers in one or two dimensions are tokens or a table, and stay what they are.

    Args:
        pixels: (N, ...) inputs.
        what: What they are, for the message.

    Raises:
        UserError: If they have three or more dimensions, and hold whole numbers that are not bytes.
    """
    if pixels.ndim > 2 and pixels.dtype.kind in "iu" and pixels.dtype != np.uint8:
        raise UserError(
            f"{what} of shape {pixels.shape} holds {pixels.dtype}, which does not tell where black and white "
            "are: give images as uint8 (0 to 255), and other arrays as floating-point numbers"
        )
