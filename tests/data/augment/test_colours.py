"""Colours against Pillow and the standard library, on a real photograph."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from sklearn.datasets import load_sample_image

from jaxnets.data.augment import compose, parse, randaugment
from jaxnets.data.augment import pixels as colours

KEY = jax.random.PRNGKey(0)
PHOTO = load_sample_image("flower.jpg")[150:214, 230:320]
PICTURE = Image.fromarray(PHOTO)
IMAGE = jnp.asarray(PHOTO, jnp.float32)


@pytest.mark.parametrize("amount", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize(
    "mine, theirs",
    [
        (colours.adjust_brightness, ImageEnhance.Brightness),
        (colours.adjust_contrast, ImageEnhance.Contrast),
        (colours.adjust_saturation, ImageEnhance.Color),
        (randaugment.sharpen, ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_pillows(mine, theirs, amount):
    found = np.asarray(jax.jit(mine)(IMAGE, amount))
    expected = np.asarray(theirs(PICTURE).enhance(amount), np.float32)
    # Pillow truncates each value, and the grey value or smoothed one before it
    assert np.abs(found - expected).max() < 1 + 1 + amount


@pytest.mark.parametrize(
    "mine, theirs",
    [
        (lambda image: randaugment.posterize(image, 4.0), lambda picture: ImageOps.posterize(picture, 4)),
        (lambda image: randaugment.solarize(image, 100.0), lambda picture: ImageOps.solarize(picture, 100)),
        (randaugment.equalize, ImageOps.equalize),
    ],
)
def test_operations_of_randaugment_are_pillows(mine, theirs):
    np.testing.assert_array_equal(jax.jit(mine)(IMAGE), np.asarray(theirs(PICTURE), np.float32))


def test_autocontrast_is_pillows_but_for_its_truncation():
    found = np.asarray(randaugment.autocontrast(IMAGE))
    assert np.abs(found - np.asarray(ImageOps.autocontrast(PICTURE), np.float32)).max() <= 1
    flat = np.full((4, 4, 3), 7, np.float32)
    np.testing.assert_array_equal(randaugment.autocontrast(flat), flat)
    np.testing.assert_array_equal(randaugment.equalize(flat), flat)


@pytest.mark.parametrize("turns", [0.0, 0.1, -0.3, 0.5])
def test_hue_is_that_of_the_standard_library(turns):
    found = np.asarray(jax.jit(colours.adjust_hue)(IMAGE, turns))[::7, ::7].reshape(-1, 3)
    for pixel, before in zip(found, PHOTO[::7, ::7].reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        expected = np.array(colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)) * 255
        np.testing.assert_allclose(pixel, expected, atol=0.01)


def test_a_jitter_turns_the_hue_of_every_pixel_alike():
    """Compiled with the rest, a pixel's largest channel was not equal to itself: blue specks on green."""
    images = np.stack([PHOTO[:32, n : n + 32] for n in range(0, 48, 8)])
    plain, turned = (
        np.asarray(
            jax.jit(compose(*parse(["rotation=20", f"colour_jitter=0.3:0.3:0.3:{hue}", "cutout=8"])))(
                KEY, 0, batch(images)
            )["x"]
        )
        for hue in (0, 0.05)
    )
    for one, other in zip(plain, turned, strict=True):
        colourful = np.ptp(one, axis=-1) > 60
        hues = [
            [colorsys.rgb_to_hsv(*pixel)[0] for pixel in image[colourful][::11].astype(float)]
            for image in (one, other)
        ]
        turns = (np.diff(hues, axis=0)[0] + 0.5) % 1 - 0.5
        assert np.ptp(turns) < 0.02  # bytes of a chroma of 60 say the hue to about one in 360
        assert np.abs(turns).max() < 0.06


def test_grey_images_have_no_hue_and_no_saturation():
    grey = IMAGE[..., :1]
    np.testing.assert_array_equal(colours.adjust_hue(grey, 0.3), grey)
    np.testing.assert_array_equal(colours.adjust_saturation(grey, 0.3), grey)


def batch(images):
    return {"x": images, "index": np.arange(len(images), dtype=np.int32)}


def test_channel_shift_is_that_of_keras():
    # keras apply_channel_shift: np.clip(channel + intensity, min of the image, max of the image)
    images = np.clip(np.stack([PHOTO] * 40), 30, 220)
    out = np.asarray(jax.jit(compose(*parse(["channel_shift=50"])))(KEY, 0, batch(images))["x"]).astype(int)
    intensities = []
    for image in out:
        inner = (image > 30) & (image < 220)
        intensity = np.median((image - images[0].astype(int))[inner])
        expected = np.clip(images[0].astype(float) + intensity, 30, 220)
        assert np.abs(image - expected).max() <= 1
        intensities.append(intensity)
    assert -50 <= min(intensities) < -30
    assert 30 < max(intensities) <= 50


def test_brightness_keeps_within_its_range():
    images = np.full((200, 2, 2, 1), 100, np.uint8)
    out = np.asarray(jax.jit(compose(*parse(["brightness=0.5:1.5"])))(KEY, 0, batch(images))["x"])[:, 0, 0, 0]
    assert 50 <= out.min() < 55
    assert 145 < out.max() <= 150


def test_cutout_blackens_one_square_anywhere():
    images = np.full((300, 20, 24, 3), 9, np.uint8)
    out = np.asarray(jax.jit(compose(*parse(["cutout=6"])))(KEY, 0, batch(images))["x"])
    assert set(np.unique(out)) == {0, 9}
    sizes = []
    for image in out:
        rows, columns = np.nonzero(image[..., 0] == 0)
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        assert height * width == len(rows)  # a rectangle
        sizes.append((height, width))
        assert height <= 6
        assert width <= 6
    assert max(sizes) == (6, 6)
    assert (out[..., 0] == 0).any(axis=0).all()  # every pixel is hit at some time
    assert 300 > sum(size == (6, 6) for size in sizes) > 100  # cut off at the borders now and then


def test_smoothing_of_sharpness_is_pillows_filter():
    smooth = np.asarray(PICTURE.filter(ImageFilter.SMOOTH), np.float32)
    assert np.abs(np.asarray(randaugment.sharpen(IMAGE, 0.0)) - smooth).max() <= 1


@pytest.mark.slow
def test_randaugment_draws_all_of_its_operations():
    images = np.stack([PHOTO[:24, :24]] * 256)
    out = np.asarray(
        jax.jit(compose(*parse(["rand_augment=1:9"]), fill="constant"))(KEY, 0, batch(images))["x"]
    )
    same = (out == images).all(axis=(1, 2, 3))
    assert 4 < same.sum() < 45  # identity is one of fourteen: 18 of 256 are expected
    assert len({image.tobytes() for image in out}) >= 14 + 8  # eight of them go both ways
    expected = np.asarray(ImageOps.equalize(Image.fromarray(images[0])))
    assert (out == expected).all(axis=(1, 2, 3)).any()
    stronger = jax.jit(compose(*parse(["rand_augment=2:30"])))(KEY, 0, batch(images))["x"]
    assert np.abs(np.asarray(stronger).astype(int) - images).mean() > np.abs(out.astype(int) - images).mean()


def test_jitter_keeps_within_its_amounts():
    images = np.stack([PHOTO[:8, :8]] * 32)
    out = np.asarray(compose(*parse(["colour_jitter=0.2:0:0"]))(KEY, 0, batch(images))["x"]).astype(float)
    factors = out.mean(axis=(1, 2, 3)) / images[0].mean()
    assert 0.79 < factors.min() < 0.87
    assert 1.13 < factors.max() < 1.21
    assert jnp.asarray(out).shape == images.shape
