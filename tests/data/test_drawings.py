"""Pictures of drawings become what a network of white digits on black knows, whatever size, mode and ink."""

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.data.formats.drawings import (
    Drawn,
    as_trained,
    drawn_in,
    ink_centre,
    ink_span,
    read_image,
)
from jaxnets.runs import describe

SHAPE = (28, 28, 1)


def drawing(paper=255, ink=0, size=(112, 112)) -> np.ndarray:
    """A thick vertical stroke, as uint8 (H, W)."""
    image = np.full(size, paper, np.uint8)
    image[size[0] // 4 : -size[0] // 4, size[1] * 3 // 8 : -size[1] * 3 // 8] = ink
    return image


def read(tmp_path, image: Image.Image, name="x.png", **more):
    image.save(tmp_path / name)
    return read_image(tmp_path / name, SHAPE, drawn=Drawn("light"), **more)


def test_dark_ink_is_binarised_at_200_as_the_document_does_it(tmp_path):
    rng = np.random.default_rng(0)
    grey = np.where(drawing() == 0, 0, 210 + rng.integers(0, 45, (112, 112))).astype(np.uint8)
    small = np.asarray(Image.fromarray(grey).resize((28, 28), Image.Resampling.LANCZOS))
    expected = np.zeros((28, 28), np.uint8)
    for row in range(28):  # the document's own loop
        for column in range(28):
            expected[row, column] = 255 if small[row, column] < 200 else 0
    seen = read(tmp_path, Image.fromarray(grey), threshold=200)
    np.testing.assert_array_equal(seen[..., 0], expected)
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


def test_a_photograph_s_rotation_is_applied(tmp_path):
    stroke = Image.fromarray(drawing())
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: rotate by 90 degrees
    stroke.save(tmp_path / "turned.png", exif=exif)
    turned = read_image(tmp_path / "turned.png", SHAPE, drawn=Drawn("light"))
    np.testing.assert_array_equal(turned[..., 0], read(tmp_path, stroke)[..., 0].T)


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
    found = describe("lenet5", digits)
    assert (found["input"]["ink"], found["ink_span"], found["ink_centre"]) == ("light", 1.0, "box")
    assert describe("perceptron", data.load("iris"))["ink_span"] is None


def test_mnist_s_digits_lie_on_their_centre_of_mass_and_others_in_their_box():
    rng = np.random.default_rng(0)
    images = np.zeros((40, 28, 28, 1), np.uint8)
    for image in images:  # an L of any size; its mass is off the centre of its box
        long, wide = rng.integers(8, 20), rng.integers(6, 14)
        image[4 : 4 + long, 4:7] = image[1 + long : 4 + long, 4 : 4 + wide] = 255
    for centre in ("mass", "box"):
        placed = []
        for image in images:
            rows, columns = np.nonzero(image[..., 0])
            if centre == "mass":
                shift = 13.5 - rows.mean(), 13.5 - columns.mean()
            else:
                shift = 13.5 - (rows.min() + rows.max()) / 2, 13.5 - (columns.min() + columns.max()) / 2
            placed.append(np.roll(image, [round(one) for one in shift], (0, 1)))
        assert ink_centre(np.stack(placed), "light") == centre
        assert ink_centre(255 - np.stack(placed), "dark") == centre


def test_drawings_are_told_from_photographs_by_the_data_set():
    digits = data.load("digits").train.x[:256]
    assert (drawn_in(digits), drawn_in(255 - digits)) == ("light", "dark")
    assert drawn_in(digits.repeat(3, -1)) == "light"  # grey stored in colour
    photos = data.embedded.photos().x
    grey = np.asarray([np.asarray(Image.fromarray(photo).convert("L")) for photo in photos])[..., None]
    rng = np.random.default_rng(0)
    places = [(rng.integers(2), rng.integers(399), rng.integers(612)) for _ in range(256)]
    patches = np.stack([grey[which, top : top + 28, left : left + 28] for which, top, left in places])
    assert drawn_in(patches) is None
    clothes = np.zeros_like(patches)  # light things on black that are no drawings: their shades are their own
    clothes[:, 3:25, 6:22] = patches[:, 3:25, 6:22]
    assert drawn_in(clothes) is None
    assert (
        drawn_in(np.where(np.arange(256)[:, None, None, None] % 10, digits, 0)) is None
    )  # with empty images
    colour = np.stack([photos[which, top : top + 28, left : left + 28] for which, top, left in places])
    assert drawn_in(colour) is None
    blocks = np.where(clothes > 0, 255, 0).astype(np.uint8)  # but filled shapes are
    assert drawn_in(blocks) == "light"


def test_grey_photographs_go_in_as_they_are(tmp_path):
    """What a network sees of a held-out file is what it saw of it in `evaluate`."""
    grey = np.asarray(Image.fromarray(data.embedded.photos().x[0]).convert("L"))
    for number in range(20):
        patch = Image.fromarray(grey[20 * number : 20 * number + 16, 300:316])
        patch.save(tmp_path / "x.png")
        np.testing.assert_array_equal(read_image(tmp_path / "x.png", (16, 16, 1))[..., 0], np.asarray(patch))
    uniform = as_trained(Image.new("RGB", (40, 40), "teal"), "it", (32, 32, 3))
    assert uniform.doubt == "all of it has one colour"
