"""Images of more than 8 bits: scaled by the range of their format, or refused, but never black or clipped."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import ArraySource
from jaxnets.data.formats.images import CV2, decode, open_image
from jaxnets.data.iterables import IterableBatches
from jaxnets.errors import UserError

WIDE = np.array([[0, 255, 256, 32_767], [32_768, 40_000, 65_279, 65_535]], np.uint16)
HIGH = (WIDE >> 8).astype(np.uint8)


def tiff(pixels, bits, photometric=1, kind=1):
    """A TIFF by hand, little-endian, one strip: Pillow cannot write them all."""
    height, width = np.shape(pixels)
    if bits == 12:
        digits = [f"{pixel:03x}" for pixel in np.ravel(pixels)]
        strip = bytes.fromhex("".join(digits))
    else:
        strip = np.asarray(pixels).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags |= {279: len(strip), 339: kind}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    start = 8 + len(strip) + len(strip) % 2
    return (
        struct.pack("<2sHI", b"II", 42, start)
        + strip.ljust(start - 8, b"\0")
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def seen(content):
    return np.asarray(open_image(io.BytesIO(content), "it"))


@pytest.mark.parametrize(
    "pixels, bits, photometric, expected",
    [
        (WIDE, 16, 1, HIGH),
        (WIDE, 16, 0, 255 - HIGH),  # 0 is white
        (WIDE >> 4, 12, 1, HIGH),
        (HIGH, 8, 1, HIGH),
        (HIGH, 8, 0, 255 - HIGH),
    ],
)
def test_tiffs_of_whole_numbers(pixels, bits, photometric, expected):
    np.testing.assert_array_equal(seen(tiff(pixels, bits, photometric)), expected)


@pytest.mark.parametrize(
    "pixels, bits, kind",
    [
        (np.float32([[0, 0.5, 1]]), 32, 3),
        (np.float32([[0, 128, 255]]), 32, 3),
        (np.int32([[0, 128, 255]]), 32, 2),
        (np.uint32([[0, 128, 255]]), 32, 1),
        (np.int16([[-1, 128, 255]]), 16, 2),
        (np.int8([[-1, 0, 127]]), 8, 2),
    ],
)
def test_tiffs_whose_range_is_unknown_are_refused(pixels, bits, kind):
    with pytest.raises(UserError, match="it: its pixels are signed, of 32 bits or floating-point numbers"):
        seen(tiff(pixels, bits, kind=kind))


def test_other_formats_with_16_bits():
    file = io.BytesIO()
    Image.fromarray(WIDE).save(file, "PNG")
    np.testing.assert_array_equal(seen(file.getvalue()), HIGH)
    pgm = b"P5 4 2 65535\n" + WIDE.astype(">u2").tobytes()
    np.testing.assert_array_equal(seen(pgm), HIGH)
    pgm = b"P5 4 2 4095\n" + (WIDE >> 4).astype(">u2").tobytes()  # of 12 bits
    assert np.abs(seen(pgm).astype(int) - HIGH).max() <= 1
    with pytest.raises(UserError, match="floating-point"):
        seen(b"Pf\n3 1\n-1.0\n" + np.float32([0, 0.5, 1]).tobytes())


def test_a_grey_value_that_is_transparent_is_white_paper():
    file = io.BytesIO()
    Image.fromarray(WIDE).save(file, "PNG", transparency=256)
    expected = HIGH.copy()
    expected[0, 2] = 255
    np.testing.assert_array_equal(seen(file.getvalue()), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_both_decoders_take_the_8_highest_bits_of_a_png(monkeypatch, channels):
    file = io.BytesIO()
    Image.fromarray(WIDE).save(file, "PNG")
    for opencv in {CV2, False}:
        monkeypatch.setattr("jaxnets.data.formats.images.CV2", opencv)
        found = decode(file.getvalue(), channels, "it")
        np.testing.assert_array_equal(found, np.repeat(HIGH[..., None], channels, -1))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.int64, np.uint64])
def test_arrays_of_images_are_bytes_or_floats(dtype):
    images = np.ones((4, 6, 5, 1), dtype)
    with pytest.raises(UserError, match=rf"x of shape \(4, 6, 5, 1\) holds {np.dtype(dtype)}"):
        ArraySource(images, np.zeros(4, int))
    with pytest.raises(UserError, match=f"x of a batch of shape .* holds {np.dtype(dtype)}"):
        next(IterableBatches([(images, np.zeros(4, int))]).epoch())
    assert ArraySource(images.astype(np.float32), np.zeros(4, int)).x.dtype == np.float32
    tokens = ArraySource(images[..., 0, 0], np.zeros(4, int))
    assert tokens.x.dtype == np.int32
