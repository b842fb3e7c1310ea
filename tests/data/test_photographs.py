"""Photographs of drawn digits, in every light, are seen as the drawings themselves."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from experiments.application import SCENES, photograph
from jaxnets.data.formats.drawings import Drawn, as_trained
from jaxnets.data.formats.images import open_image
from jaxnets.errors import UserError

SHAPE = (28, 28, 1)


def arc(x, y, width, height, start, end):
    """Points on an ellipse, from one angle to another; 0 is to the right, and 90 below."""
    angles = np.radians(np.linspace(start, end, 40))
    return list(zip(x + width * np.cos(angles), y + height * np.sin(angles), strict=True))


STROKES = [
    [arc(0.5, 0.5, 0.28, 0.4, 0, 360)],
    [[(0.35, 0.28), (0.55, 0.1), (0.55, 0.9)]],
    [[*arc(0.5, 0.33, 0.26, 0.23, -170, 30), (0.24, 0.9), (0.78, 0.9)]],
    [arc(0.47, 0.3, 0.25, 0.2, -150, 90) + arc(0.47, 0.7, 0.27, 0.2, -90, 150)],
    [[(0.6, 0.1), (0.22, 0.62), (0.8, 0.62)], [(0.62, 0.4), (0.62, 0.92)]],
    [[(0.74, 0.1), (0.34, 0.1), (0.3, 0.45), *arc(0.48, 0.65, 0.26, 0.24, -120, 140)]],
    [[(0.62, 0.1), (0.42, 0.3), (0.3, 0.62)], arc(0.5, 0.68, 0.2, 0.22, 0, 360)],
    [[(0.22, 0.1), (0.78, 0.1), (0.42, 0.9)]],
    [arc(0.5, 0.3, 0.2, 0.19, 0, 360), arc(0.5, 0.7, 0.24, 0.21, 0, 360)],
    [arc(0.5, 0.32, 0.2, 0.22, 0, 360), [(0.7, 0.32), (0.66, 0.6), (0.5, 0.9)]],
]


def drawn(digit, width=0.1, side=280):
    """A digit in white ink on black, uint8 (side, side, 1), framed as in MNIST."""
    image = Image.new("L", (side, side))
    pen, radius = ImageDraw.Draw(image), width * side / 2
    for stroke in STROKES[digit]:
        points = [(side * (0.5 + 0.75 * (x - 0.5)), side * (0.5 + 0.75 * (y - 0.5))) for x, y in stroke]
        pen.line(points, 255, round(2 * radius), "curve")
        for x, y in points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    return np.asarray(image)[..., None]


LIKE = Drawn("light", centre="box")


def seen(image, drawn=LIKE, **more):
    return as_trained(image, "it", SHAPE, drawn=drawn, **more).pixels[..., 0]


def cropped(digit):
    """What must be seen, by Pillow alone: the drawing cropped to its ink, which spans 20 of 28 pixels."""
    ink = Image.fromarray(drawn(digit)[..., 0])
    ink = ink.crop(ink.getbbox())
    side = round(max(ink.size) * 28 / 20)
    paper = Image.new("L", (side, side))
    paper.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return np.asarray(paper.resize((28, 28), Image.Resampling.BOX))


CROPPED = [cropped(digit).astype(float) for digit in range(10)]


def check(pictures):
    """Each is seen as its own drawing: nearer than as any other, and all but a quarter of its ink."""
    for digit, picture in pictures.items():
        off = [np.abs(seen(picture) - other).sum() for other in CROPPED]
        assert np.argmin(off) == digit
        assert off[digit] < 0.25 * CROPPED[digit].sum()


@pytest.mark.parametrize(
    "digits", [(2, 3, 8), pytest.param(range(10), marks=pytest.mark.slow)], ids=["some", "all"]
)
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.sampled(3)
def test_a_photographed_digit_is_seen_as_it_was_drawn(tmp_path, scene, digits):
    pictures = {}
    for digit in digits:
        photograph(drawn(digit), np.random.default_rng(digit), tmp_path / f"{digit}.jpg", SCENES[scene])
        pictures[digit] = open_image(tmp_path / f"{digit}.jpg", "it")
    check(pictures)


def lit(digit, light, ink=60, exposure=1.0):
    """A digit on paper of 235, in any light: a function of x and y from -1 to 1."""
    rng, grey = np.random.default_rng(digit), drawn(digit)[..., 0] / 255.0
    y, x = np.meshgrid(np.linspace(-1, 1, 280), np.linspace(-1, 1, 280), indexing="ij")
    picture = (235 * (1 - grey) + ink * grey) * light(x, y) * exposure + rng.normal(0, 4, grey.shape)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "light, more",
    [
        (lambda x, y: 1 / (1 + 0.5 * (x * x + y * y)) ** 2, {}),  # cos^4 of the angle: a lens's vignette
        (
            lambda x, y: 0.35 + 0.65 * np.exp(-((x + 0.8) ** 2 + (y + 0.8) ** 2) / 2),
            {},
        ),  # a lamp in the corner
        (lambda x, y: 1.0, {"exposure": 0.15}),
        (lambda x, y: 1.0, {"exposure": 2.0, "ink": 115}),
        (lambda x, y: 1 - 0.25 * (x * x + y * y), {"ink": 205}),
    ],
    ids=["vignette", "lamp", "dark", "over-exposed", "faint with a vignette"],
)
@pytest.mark.sampled(3)
def test_in_any_light(light, more):
    check({digit: lit(digit, light, **more) for digit in (4, 8)})


@pytest.mark.parametrize("table", [40, 110, 170])
def test_sheets_in_perspective_on_tables_of_all_shades(table):
    pictures = {}
    for digit in (4, 8):
        picture = pictures[digit] = Image.new("L", (300, 240), table)
        ImageDraw.Draw(picture).polygon([(40, 30), (265, 45), (250, 215), (35, 205)], 235)
        picture.paste(60, (100, 70), Image.fromarray(drawn(digit, side=100)[..., 0]))
    check(pictures)


def test_faint_ink_is_doubtful_and_black_ink_is_not():
    assert as_trained(lit(3, lambda x, y: 1.0, 212), "it", SHAPE, drawn=LIKE).doubt.startswith(
        "the ink is faint"
    )
    assert as_trained(lit(3, lambda x, y: 1.0), "it", SHAPE, drawn=LIKE).doubt is None


@pytest.mark.parametrize("noise", [0, 3, 10])
@pytest.mark.parametrize("level", [0, 120, 230, 255])
def test_where_there_is_nothing_nothing_is_seen(noise, level):
    rng = np.random.default_rng(0)
    shade = level * np.linspace(1, 0.8, 300) + rng.normal(0, 1, (300, 300)) * noise
    shade[40:42, 70:72] = 0  # a speck of dust
    paper = Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8))
    with pytest.raises(UserError, match=r"^it: no ink found: nothing stands out"):
        seen(paper)


def test_pictures_of_any_shape_have_an_answer():
    for size in ((1, 1), (1, 900), (7, 8), (8, 8), (2000, 9), (28, 29)):
        for level in (0, 255):
            picture = Image.new("L", size, level)
            with pytest.raises(UserError, match="no ink found"):
                seen(picture)


@pytest.mark.parametrize("side", [28, 56, 200])
def test_light_ink_on_dark_goes_in_as_it_is_like_the_training_images(side):
    for digit in (0, 1, 5, 8):
        for width in (0.06, 0.15):
            picture = Image.fromarray(drawn(digit, width, side)[..., 0])
            scaled = picture.resize((28, 28), Image.Resampling.LANCZOS)
            np.testing.assert_array_equal(seen(picture), np.asarray(scaled))


def test_a_sheet_is_read_by_networks_of_dark_ink_too():
    picture = Image.new("L", (600, 600), 40)
    picture.paste(235, (100, 100, 500, 500))
    picture.paste(60, (200, 200), Image.fromarray(drawn(4, side=200)[..., 0]))
    dark = seen(picture, Drawn("dark", centre="box"))
    np.testing.assert_array_equal(255 - dark, seen(picture))
