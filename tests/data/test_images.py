"""Image files become what a network of white digits on black knows, whatever their size, mode and ink."""

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.data.formats.images import ink_of, ink_span, open_image, read_image, white_ink
from jaxnets.errors import UserError
from jaxnets.runs import describe

SHAPE = (28, 28, 1)


def drawing(paper=255, ink=0, size=(112, 112)) -> np.ndarray:
    """A thick vertical stroke, as uint8 (H, W)."""
    image = np.full(size, paper, np.uint8)
    image[size[0] // 4 : -size[0] // 4, size[1] * 3 // 8 : -size[1] * 3 // 8] = ink
    return image


def read(tmp_path, image: Image.Image, name="x.png", **more):
    image.save(tmp_path / name)
    return read_image(tmp_path / name, SHAPE, wanted="light", **more)


def test_dark_ink_is_binarised_at_200_as_the_document_does_it(tmp_path):
    rng = np.random.default_rng(0)
    grey = np.where(drawing() == 0, 0, 210 + rng.integers(0, 45, (112, 112))).astype(np.uint8)
    small = np.asarray(Image.fromarray(grey).resize((28, 28), Image.Resampling.LANCZOS))
    expected = np.zeros((28, 28), np.uint8)
    for row in range(28):  # the document's own loop
        for column in range(28):
            expected[row, column] = 255 if small[row, column] < 200 else 0
    np.testing.assert_array_equal(read(tmp_path, Image.fromarray(grey))[..., 0], expected)
    assert 0 < expected.mean() < 128


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16"])
def test_any_mode_reads_the_same(tmp_path, mode):
    plain = read(tmp_path, Image.fromarray(drawing()))
    if mode == "I;16":
        image = Image.fromarray(drawing().astype(np.uint16) * 257)
    else:
        image = Image.fromarray(drawing()).convert(mode)
    name = "x.tif" if mode == "CMYK" else "x.png"
    np.testing.assert_array_equal(read(tmp_path, image, name), plain)


def test_transparent_is_white_paper(tmp_path):
    pixels = np.zeros((112, 112, 4), np.uint8)
    pixels[..., 3] = 255 - drawing()  # black everywhere, seen only where the ink is
    np.testing.assert_array_equal(
        read(tmp_path, Image.fromarray(pixels)), read(tmp_path, Image.fromarray(drawing()))
    )


def test_white_ink_on_black_stays_as_it_is_and_flags_force_it(tmp_path):
    light = Image.fromarray(255 - drawing(size=(28, 28)))
    np.testing.assert_array_equal(read(tmp_path, light)[..., 0], np.asarray(light))
    forced = read(tmp_path, light, ink="dark", threshold=200)
    np.testing.assert_array_equal(forced[..., 0], 255 - np.asarray(light))
    dark = Image.fromarray(drawing(size=(28, 28)))
    np.testing.assert_array_equal(read(tmp_path, dark, ink="light")[..., 0], np.asarray(dark))


def test_a_dim_photograph_is_not_all_ink():
    """Paper at 150 is darker than the document's 200: the threshold goes halfway between paper and ink."""
    dim = drawing(paper=150, ink=40, size=(28, 28))[..., None]
    np.testing.assert_array_equal(white_ink(dim), np.where(dim == 40, 255, 0))
    assert white_ink(dim, threshold=200).min() == 255
    assert ink_of(dim) == "dark"


def test_a_photograph_s_rotation_is_applied(tmp_path):
    stroke = Image.fromarray(drawing())
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: rotate by 90 degrees
    stroke.save(tmp_path / "turned.png", exif=exif)
    turned = read_image(tmp_path / "turned.png", SHAPE, wanted="light")
    np.testing.assert_array_equal(turned[..., 0], read(tmp_path, stroke)[..., 0].T)


def test_colour_networks_get_colours(tmp_path):
    Image.new("RGB", (64, 40), (10, 120, 250)).save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png", (32, 32, 3))
    assert (image == (10, 120, 250)).all()


def test_unreadable_files_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"no\.png: there is no such file"):
        read_image(tmp_path / "no.png", SHAPE)
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)).save(
        tmp_path / "whole.jpg"
    )
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    for name in ("text.png", "cut.jpg"):
        with pytest.raises(UserError, match=f"{name}: not an image that can be read"):
            read_image(tmp_path / name, SHAPE)


@pytest.mark.parametrize("ink", ["dark", "light"])
def test_ink_span_is_the_longer_side_of_the_box_around_the_ink(ink):
    paper = np.zeros((3, 20, 40, 1), np.uint8)
    paper[0, 5:15, 10:14] = 200  # half of the height
    paper[1, 8:10, 10:40] = 255  # three quarters of the width
    paper[2, 2:20, 0] = 90  # nine tenths of the height
    assert ink_span(255 - paper if ink == "dark" else paper, ink) == 0.75
    assert ink_span(np.zeros((1, 20, 20, 1), np.uint8), ink) == 0


def test_the_digits_fill_their_images_and_a_run_notes_that():
    digits = data.load("digits")
    x = digits.train.x[:64, ..., 0]
    heights = [np.flatnonzero((image > (int(image.max()) + int(image.min())) / 2).any(1)) for image in x]
    assert np.median([rows[-1] + 1 - rows[0] for rows in heights]) == 28  # and none is wider than high
    assert describe("lenet5", digits)["ink_span"] == 1.0
    assert describe("perceptron", data.load("iris"))["ink_span"] is None


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    Image.new("L", (300, 200)).save(tmp_path / "image.png")
    assert open_image(tmp_path / "image.png", "it", largest=60_000).size == (300, 200)
    with pytest.raises(
        UserError, match=r"^it: 300 x 200 pixels are too many; make it smaller, 59,999 pixels"
    ):
        open_image(tmp_path / "image.png", "it", largest=59_999)
