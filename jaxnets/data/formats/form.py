"""The form that all images of a data set have in common: channels, size, and how they are stored."""

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxnets.data.formats.images import open_image, scale
from jaxnets.data.formats.readers import Contents, Problems
from jaxnets.errors import UserError

SMALL = (
    64 * 64 * 3
)  # images of up to this many bytes are stored decoded: reading them then takes a tenth of the time
ORIENTATION = 0x0112  # the EXIF tag
PNG = b"\x89PNG"

Store = Literal["auto", "pixels", "files"]


@dataclass(frozen=True)
class Form:
    """The form that every image must have or is converted to.

    Attributes:
        channels: Number of channels, 1 or 3.
        size: (height, width); None if every image keeps its own.
        convert: Whether images with another number of channels are converted rather than refused.
        resize: Whether images of another size are scaled rather than refused.
        store: "pixels", "files" (PNG or JPEG), or "auto": pixels for small images.
    """

    channels: int
    size: tuple[int, int] | None
    convert: bool
    resize: bool
    store: Store = "auto"

    @property
    def shape(self) -> tuple[int | None, int | None, int]:
        """The shape of an image, (height, width, channels); None where images differ."""
        return (*(self.size or (None, None)), self.channels)

    @property
    def decoded(self) -> bool:
        """Whether images are stored as pixels."""
        if self.size is None or self.store != "auto":
            return self.size is not None and self.store == "pixels"
        return self.size[0] * self.size[1] * self.channels <= SMALL

    def pixels(self, where: str, image: np.ndarray | bytes) -> np.ndarray:
        """Returns an image in this form, uint8 (height, width, channels).

        Raises:
            UserError: If the image cannot be read, or does not have this form.
        """
        picture, size, channels = _look(where, image)
        if channels != self.channels and not self.convert:
            kinds = {1: "grey", 3: "in colour"}
            raise UserError(
                f"{where} is {kinds[channels]} and the first image {kinds[self.channels]}: "
                "choose 1 or 3 channels to convert all"
            )
        if self.size not in (None, size) and not self.resize:
            raise UserError(
                f"{where} is {times(size)} and the first image {times(self.size)}: choose a size for all"
            )
        return scale(picture, self.channels, self.size or size)

    def stored(self, where: str, image: np.ndarray | bytes) -> np.ndarray | bytes:
        """Returns an image as it is stored: its pixels, or a PNG or JPEG (the file itself if it is one).

        Raises:
            UserError: If the image cannot be read, or does not have this form.
        """
        pixels = self.pixels(where, image)
        if self.decoded:
            return pixels
        return image if isinstance(image, bytes) and _is_plain(image, pixels.shape) else _png(pixels)


def find_form(
    contents: Contents,
    problems: Problems,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    keep_sizes: bool = False,
    store: Store = "auto",
) -> Form:
    """Returns the form asked for, filled in from the first training image that can be read.

    Args:
        contents: The contents that a reader found.
        problems: Whether to continue past an image that cannot be read.
        size: (height, width) to scale all images to.
        channels: Number of channels to convert all images to.
        keep_sizes: Whether images may differ in size.
        store: See `Form`.

    Raises:
        UserError: If the form asked for makes no sense, or no image can be read.
    """
    if size is not None and (keep_sizes or min(size) < 1):
        raise UserError(
            f"the size {times(size)}: it must be positive, and cannot be combined with keeping all sizes"
        )
    if channels not in (None, 1, 3):
        raise UserError(f"{channels} channels: it must be 1 (grey) or 3 (colour)")
    for where, image, _ in contents.splits["train"]():
        try:
            _, first_size, first_channels = _look(where, image)
        except UserError:
            if problems.skip:
                continue  # reported when it is its turn
            raise
        kept = None if keep_sizes else size or first_size
        return Form(channels or first_channels, kept, channels is not None, size is not None, store)
    raise UserError("none of the training images can be read: are they images?")


def times(size: tuple[int, ...] | None) -> str:
    """Returns (28, 28) as "28 x 28"."""
    return " x ".join(map(str, size or ()))


def _look(where: str, image: np.ndarray | bytes) -> tuple[Any, tuple[int, int], int]:
    """Returns the opened image, its (height, width) and its number of channels."""
    if isinstance(image, np.ndarray):
        height, width, channels = image.shape
        return image, (height, width), channels
    picture = open_image(io.BytesIO(image), where, check=image.startswith(PNG))
    return picture, picture.size[::-1], 1 if picture.mode == "L" else 3


def _is_plain(content: bytes, shape: tuple[int, ...]) -> bool:
    """Whether every decoder gives the same pixels: no transparency, no EXIF rotation, 8 bits, this shape."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        same = (*image.size[::-1], len(image.getbands())) == shape and image.mode in ("L", "RGB")
        upright = image.getexif().get(ORIENTATION, 1) == 1
        return same and upright and image.format in ("PNG", "JPEG") and "transparency" not in image.info


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
