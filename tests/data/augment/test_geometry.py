"""Geometry against SciPy, Pillow, Keras and the documents' own code, on real photographs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image
from sklearn.datasets import load_sample_image

from jaxnets.data.augment import compose, parse
from jaxnets.data.augment.ops import Draw, off_centre_crop, random_crop, resize
from jaxnets.data.augment.warp import move_boxes, resample, rotate, shear, stretch, then, translate, warp

KEY = jax.random.PRNGKey(0)
WARP = jax.jit(warp, static_argnums=(2, 3))
RESAMPLE = jax.jit(resample, static_argnums=2)


@pytest.fixture(scope="module")
def photo():
    return load_sample_image("china.jpg")[150:247, 130:261].astype(np.float32)  # 97 x 131: both odd


def by_scipy(image, transform, mode, value=0.0):
    """The same matrix, from output to input about the centres, through SciPy."""
    transform = np.asarray(transform, np.float64)
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = transform[:2, 2] + centre - transform[:2, :2] @ centre
    return np.stack(
        [
            scipy.ndimage.affine_transform(
                image[..., channel], transform[:2, :2], offset, order=1, mode=mode, cval=value
            )
            for channel in range(3)
        ],
        axis=-1,
    )


TRANSFORMS = {
    "rotation": rotate(jnp.float32(33)),
    "shift": translate(10.3, -20.7),
    "shear": shear(jnp.float32(20)),
    "zoom": stretch(0.6, 1.4),
    "mirrored": stretch(1.0, -1.0),
    "far out": translate(150.25, -300.5),
    "all": then(
        then(then(rotate(jnp.float32(-40)), translate(7.5, 3.25)), shear(jnp.float32(10))), stretch(1.3, 0.8)
    ),
}
MODES = {"nearest": "nearest", "constant": "grid-constant", "reflect": "grid-mirror", "wrap": "grid-wrap"}


@pytest.mark.parametrize("fill", MODES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_warp_is_scipys(photo, name, fill):
    found = WARP(photo, TRANSFORMS[name], photo.shape[:2], fill, 40.0)
    expected = by_scipy(photo, TRANSFORMS[name], MODES[fill], 40.0)
    # float32 places a sample to 2^-17 of a pixel at column 131, where the next differs by 255 at most
    np.testing.assert_allclose(found, expected, atol=0.02)


def keras_matrix(theta=0.0, tx=0.0, ty=0.0, shear=0.0, zx=1.0, zy=1.0):
    """apply_affine_transform of Keras 3.15: rotation, shift, shear, zoom in (x, y)."""
    theta, shear = np.deg2rad(theta), np.deg2rad(shear)
    rotation = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    sheared = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    whole = rotation @ shift @ sheared @ np.diag([zx, zy, 1])
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # Keras then exchanges x and y
    return swap @ whole @ swap


def test_matrices_are_those_of_keras():
    mine = then(
        then(then(rotate(jnp.float32(25)), translate(3.0, -4.0)), shear(jnp.float32(15))), stretch(0.7, 1.2)
    )
    expected = keras_matrix(theta=25, tx=-4, ty=3, shear=15, zx=1.2, zy=0.7)
    np.testing.assert_allclose(mine, expected, atol=1e-6)


def away_from_the_border(image, margin):
    return np.asarray(image, np.float32)[margin:-margin, margin:-margin]


@pytest.mark.parametrize(
    "name, transform, margin",
    [
        ("rotation", rotate(jnp.float32(15)), 20),
        ("shift", translate(5.5, -8.25), 12),
        ("zoom", stretch(0.8, 1.1), 12),
    ],
)
def test_the_same_angle_shift_and_zoom_in_pillow(photo, name, transform, margin):
    height, width = photo.shape[:2]
    picture = Image.fromarray(photo.astype(np.uint8))
    if name == "rotation":
        expected = picture.rotate(15, Image.Resampling.BILINEAR)
    else:
        (a, _, c), (_, e, f) = np.asarray(transform)[:2].tolist()
        # Pillow: x_in = A x + B y + C, in edges: half a pixel before the first centre
        columns, rows = (e, f + width / 2 * (1 - e)), (a, c + height / 2 * (1 - a))
        data = (columns[0], 0, columns[1], 0, rows[0], rows[1])
        expected = picture.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    found = WARP(photo, transform, photo.shape[:2])
    difference = np.abs(away_from_the_border(found, margin) - away_from_the_border(expected, margin))
    assert difference.mean() < 0.02 * 255
    assert difference.mean() < 1.5  # which is what Pillow's rounding leaves


@pytest.mark.parametrize("shape", [(48, 65), (20, 31), (150, 200)])
def test_resizing_with_antialiasing_is_pillows(photo, shape):
    transform = stretch(97 / shape[0], 131 / shape[1])
    found = RESAMPLE(photo, transform, shape)
    expected = Image.fromarray(photo.astype(np.uint8)).resize(shape[::-1], Image.Resampling.BILINEAR)
    assert np.abs(found - np.asarray(expected, np.float32)).max() < 1.5


@pytest.mark.parametrize("shape", [(48, 65), (150, 200)])
def test_resizing_without_antialiasing_is_that_of_half_pixel_centres(photo, shape):
    found = WARP(photo, stretch(97 / shape[0], 131 / shape[1]), shape)
    rows, columns = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, photo.shape, strict=False))
    grid = np.meshgrid(rows, columns, indexing="ij")
    expected = np.stack(
        [scipy.ndimage.map_coordinates(photo[..., c], grid, order=1, mode="nearest") for c in range(3)],
        axis=-1,
    )
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_mirroring_and_cropping_with_antialiasing(photo):
    transform = then(translate(4.5, -5.5), stretch(40 / 20, -60 / 30))
    top, left = 33, 30  # (97 - 40) / 2 + 4.5 and (131 - 60) / 2 - 5.5
    cut = photo[top : top + 40, left : left + 60, :].astype(np.uint8)
    expected = Image.fromarray(np.ascontiguousarray(cut[:, ::-1])).resize((30, 20), Image.Resampling.BILINEAR)
    found = RESAMPLE(photo, transform, (20, 30))
    inner = (slice(1, -1), slice(1, -1))  # at its edge a crop of its own does not see beyond
    assert np.abs(found - np.asarray(expected, np.float32))[inner].max() < 1.5


KEYS = jax.random.split(KEY, 200)
DRAWS = Draw(KEYS, KEYS, jnp.zeros(200, jnp.int32))


def test_the_training_crop_of_f5_is_the_documents():
    """min_dim = min(height, width) * 90 // 100; any integer place where it fits; all places are drawn."""
    transforms, (heights, widths) = jax.jit(jax.vmap(lambda draw: random_crop(0.9).geometry(draw, (30, 37))))(
        DRAWS
    )
    assert set(np.asarray(heights)) == set(np.asarray(widths)) == {27}
    tops, lefts = transforms[:, 0, 2] - (27 - 30) / 2, transforms[:, 1, 2] - (27 - 37) / 2
    assert set(np.asarray(tops).tolist()) == set(range(4))
    assert set(np.asarray(lefts).tolist()) == set(range(11))


@pytest.mark.parametrize("height, width", [(97, 131), (50, 53)])
def test_the_crop_at_test_of_f5_is_the_documents(height, width):
    image = np.random.RandomState(0).rand(height, width, 1).astype(np.float32)
    side = min(height, width)
    top, left = (height - side) // 4, (width - side) // 4
    expected = image[top : height - top, left : width - left]
    transform, size = off_centre_crop().geometry(Draw(KEY, KEY, jnp.int32(0)), (height, width))
    assert tuple(map(int, size)) == expected.shape[:2]
    found = WARP(image, transform, expected.shape[:2])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_image_stored_at_another_size_is_cropped_as_the_original_would_be(photo):
    """F5 with photographs of all sizes: stored as 128 x 128, "size" says what they were."""
    original = photo[:60, :120]
    stored = np.asarray(
        Image.fromarray(original.astype(np.uint8)).resize((128, 128), Image.Resampling.BICUBIC)
    )
    batch = {"x": stored[None], "index": np.array([0]), "size": np.array([[60, 120]])}
    out = compose(off_centre_crop(), resize(32))(KEY, 0, batch)
    assert "size" not in out
    cut = (120 - 60) // 4
    expected = compose(resize(32))(
        KEY, 0, {"x": original[:, cut:-cut].astype(np.uint8)[None], "index": np.array([0])}
    )
    assert np.abs(out["x"].astype(int) - expected["x"].astype(int)).mean() < 6


@pytest.mark.parametrize(
    "text, low, high",
    [
        ("rotation=30", -30, 30),
        ("shift=0.1:0.3", -0.1 * 50, 0.1 * 50),
        ("shear=20", -np.sin(np.deg2rad(20)), np.sin(np.deg2rad(20))),
        ("zoom=0.5", 0.5, 1.5),
        ("zoom=0.8:0.9", 0.8, 0.9),
        ("pad_and_crop=3", -3, 3),
        ("random_resized_crop=10", np.sqrt(0.08 * 50 * 80 * 3 / 4) / 10, 50 / 10),
    ],
)
def test_what_is_drawn_keeps_within_its_bounds_and_uses_them(text, low, high):
    (op,) = parse([text])
    transforms = np.asarray(jax.jit(jax.vmap(lambda draw: op.geometry(draw, (50, 80))[0]))(DRAWS))
    value = {
        "rotation": np.rad2deg(np.arctan2(transforms[:, 0, 1], transforms[:, 0, 0])),
        "shift": transforms[:, 0, 2],
        "shear": transforms[:, 1, 0],
        "pad_and_crop": transforms[:, 1, 2],
    }.get(text.split("=")[0], transforms[:, 0, 0])
    span = high - low
    assert low - 1e-4 <= value.min() < low + (0.5 if "resized" in text else 0.1) * span
    assert high - 0.1 * span < value.max() <= high + 1e-4
    if text.startswith("shift"):
        assert 0.27 * 80 < np.abs(transforms[:, 1, 2]).max() <= 0.3 * 80


def test_crops_stay_inside_the_image():
    for text in ("random_crop=0.5", "random_resized_crop=20"):
        (op,) = parse([text])
        transforms, sizes = jax.jit(jax.vmap(lambda draw, op=op: op.geometry(draw, (30, 40))))(DRAWS)
        transforms, sizes = np.asarray(transforms), np.stack(jnp.broadcast_arrays(*sizes), axis=-1)
        if sizes.ndim == 1:
            sizes = np.broadcast_to(sizes, (200, 2))
        for transform, size in zip(transforms, sizes, strict=True):
            for corner in ([-1, -1], [1, 1]):
                edge = transform[:2, :2] @ (np.array(corner) * size / 2) + transform[:2, 2] + [15, 20]
                assert (edge > -1e-3).all()
                assert (edge < np.array([30, 40]) + 1e-3).all()


def test_boxes_follow_the_geometry():
    """A white rectangle on black: after any change, the box says where the white is."""
    image = np.zeros((60, 80, 1), np.uint8)
    image[20:40, 10:50] = 255
    box = np.array([[20 / 60, 10 / 80, 40 / 60, 50 / 80], [0, 0, 0, 0]], np.float32)
    augment = jax.jit(compose(*parse(["shift=0.1", "zoom=0.7:1.3", "horizontal_flip", "resize=45:90"])))
    for step in range(20):
        batch = {"x": image[None], "index": np.array([5]), "boxes": box[None]}
        out = augment(KEY, step, batch)
        rows, columns = np.nonzero(np.asarray(out["x"][0, ..., 0]) > 127)
        found = np.array(
            [rows.min() / 45, columns.min() / 90, (rows.max() + 1) / 45, (columns.max() + 1) / 90]
        )
        np.testing.assert_allclose(out["boxes"][0, 0], found, atol=1 / 45)
        assert out["boxes"][0, 1].tolist() == [0, 0, 0, 0]


def test_a_turned_box_holds_the_turned_corners():
    moved = move_boxes(jnp.array([[0.25, 0.25, 0.75, 0.75]]), rotate(jnp.float32(45)), (40, 40), (40, 40))
    half = 0.25 * np.sqrt(2)
    np.testing.assert_allclose(moved[0], [0.5 - half, 0.5 - half, 0.5 + half, 0.5 + half], atol=1e-6)
    gone = move_boxes(jnp.array([[0.0, 0.0, 0.1, 0.1]]), translate(20.0, 0.0), (40, 40), (40, 40))
    assert gone.tolist() == [[0, 0, 0, 0]]
