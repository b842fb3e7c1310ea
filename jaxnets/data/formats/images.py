"""Image files: opening, decoding and scaling them."""

import importlib.util
import io
from typing import Any

import numpy as np

from jaxnets.data.formats.depth import eight_bits
from jaxnets.data.formats.kinds import FORMATS, why_not
from jaxnets.errors import UserError, reason

PNG, DEPTH = b"\x89PNG", 24  # how it begins, and where the number of bits of its channels is
LARGEST = 1 << 26  # pixels; decoded and converted they take up to 1 GB
CV2 = importlib.util.find_spec("cv2") is not None


def open_image(file: Any, where: str, *, check: bool = False, largest: int | None = None) -> Any:
    """Opens an image file and decodes all of it.

    Args:
        file: Path of the file, or a binary file.
        where: Name of the image, for messages.
        check: Whether to verify the checksums of a PNG first, which decoding alone does not.
        largest: Greatest number of pixels, checked before any is decoded. By default 67 million.

    Returns:
        A Pillow image, mode L (for grey files) or RGB, of the 8 highest bits of deeper files. The EXIF
        rotation is applied, and transparent parts become white paper.

    Raises:
        UserError: If there is no such file, or it is not an image, is truncated or has too many pixels, or
            pixels of an unknown range; see `eight_bits`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if check:
            with Image.open(file, formats=FORMATS) as opened:
                opened.verify()
        with Image.open(file, formats=FORMATS) as opened:
            largest = largest or LARGEST
            if opened.width * opened.height > largest:
                raise UserError(
                    f"{where}: {opened.width} x {opened.height} pixels are too many; make it smaller, "
                    f"{largest:,} pixels at most"
                )
            image: Image.Image = ImageOps.exif_transpose(opened)
            clear = image.info.get("transparency") if image.mode.startswith("I") else None
            if clear is not None:  # the grey value that is transparent
                pixels = np.asarray(image)
                image = Image.fromarray(np.where(pixels == clear, 65535, pixels).astype(np.uint16))
            image = eight_bits(image, opened, where)
            if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
                grey = image.mode in ("1", "L", "LA", "La")
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                return image.convert("L" if grey else "RGB")
            return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except FileNotFoundError as error:
        raise UserError(f"{where}: there is no such file") from error
    except (UnidentifiedImageError, KeyError) as error:  # KeyError: an older Pillow that lacks a format
        raise UserError(why_not(file, where)) from error
    except UserError:
        raise
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise UserError(
            f"{where}: not an image that can be read ({reason(error)}); use PNG or JPEG"
        ) from error


def decode(content: bytes, channels: int, where: str) -> np.ndarray:
    """Returns the pixels of a PNG or JPEG as they are stored: uint8 (H, W, channels), of 16 bits the highest.

    OpenCV decodes if it is installed, three to eight times faster on small images than Pillow; both give the
    same bytes. As in TFDS, neither EXIF rotation nor transparency is applied.

    Raises:
        UserError: If it is not an image, or is truncated.
    """
    deep = (
        content.startswith(PNG) and content[DEPTH : DEPTH + 1] == b"\x10"
    )  # which decoders round differently
    if CV2 and not deep:
        import cv2

        how = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), how | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            return pixels.reshape(*pixels.shape[:2], channels)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            image = eight_bits(opened, opened, where)
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except UserError:
        raise
    except (UnidentifiedImageError, KeyError) as error:
        raise UserError(why_not(io.BytesIO(content), where)) from error
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
