"""The parts of an augmentation, and its geometric steps: each draws a matrix, none touches a pixel."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.data.augment.warp import Size, rotate, shear, stretch, then, translate
from jaxnets.errors import UserError


class Draw(NamedTuple):
    """What the random draws of one example may depend on.

    Attributes:
        key: Random key of (seed, step, example).
        fixed: Random key of (seed, example).
        step: The step number, int32 ().
    """

    key: jax.Array
    fixed: jax.Array
    step: jax.Array


class Op(NamedTuple):
    """One step of an augmentation; it has one or more of these parts.

    Attributes:
        geometry: (draw, size of the image so far) -> (matrix, size after it).
        pixels: (draw, float32 (H, W, C) from 0 to 255) -> an image of the same form; after all geometry.
        mix: (keys (B,), images (B, H, W, C), y (B, classes)) -> images and y; after all pixel steps.
        shape: (height, width) of every image from this step on.
        aligned: Whether the geometry only scales, mirrors and shifts, as antialiasing requires.
    """

    geometry: Callable[[Draw, Size], tuple[jax.Array, Size]] | None = None
    pixels: Callable[[Draw, jax.Array], jax.Array] | None = None
    mix: Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None = None
    shape: tuple[int, int] | None = None
    aligned: bool = True


def _within(key: jax.Array, most: float) -> jax.Array:
    return jax.random.uniform(key, minval=-most, maxval=most)


def rotation(degrees: float) -> Op:
    """Rotates by an angle drawn from -degrees ... degrees (Keras's rotation_range)."""
    return Op(lambda draw, size: (rotate(_within(draw.key, degrees)), size), aligned=False)


def shift(height: float, width: float | None = None) -> Op:
    """Shifts by up to these fractions of the height and width (Keras's height_ and width_shift_range)."""
    wide = height if width is None else width

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        rows, columns = jax.random.split(draw.key)
        return translate(_within(rows, height) * size[0], _within(columns, wide) * size[1]), size

    return Op(geometry)


def shearing(degrees: float) -> Op:
    """Shears by an angle drawn from -degrees ... degrees (Keras's shear_range)."""
    return Op(lambda draw, size: (shear(_within(draw.key, degrees)), size), aligned=False)


def zoom(low: float, high: float | None = None) -> Op:
    """Shows low ... high times the length of each side; zoom(z) is zoom(1 - z, 1 + z) (Keras's zoom_range).

    Raises:
        UserError: If `low` is not positive, or `high` is less than `low`.
    """
    low, high = (1 - low, 1 + low) if high is None else (low, high)
    if not 0 < low <= high:
        raise UserError(f"zoom from {low:g} to {high:g}: it must be above 0, and not decrease")

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        rows, columns = jax.random.uniform(draw.key, (2,), minval=low, maxval=high)
        return stretch(rows, columns), size

    return Op(geometry)


def _mirrored(yes: jax.Array, axis: int) -> jax.Array:
    sign = jnp.where(yes, -1.0, 1.0)
    return stretch(sign, 1.0) if axis == 0 else stretch(1.0, sign)


def horizontal_flip(probability: float = 0.5) -> Op:
    """Flips left and right with this probability."""
    return Op(lambda draw, size: (_mirrored(jax.random.bernoulli(draw.key, probability), 1), size))


def vertical_flip(probability: float = 0.5) -> Op:
    """Flips top and bottom with this probability."""
    return Op(lambda draw, size: (_mirrored(jax.random.bernoulli(draw.key, probability), 0), size))


def alternating_flip(steps_per_epoch: float) -> Op:
    """Flips every image left and right in every other epoch, a random half of them in the odd ones.

    Any two consecutive epochs thus show every image both ways (Jordan 2024, arXiv 2404.00498).
    """

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        epoch = draw.step // int(steps_per_epoch)
        return _mirrored((jax.random.bernoulli(draw.fixed).astype(jnp.int32) + epoch) % 2 == 1, 1), size

    return Op(geometry)


def resize(height: float, width: float | None = None) -> Op:
    """Scales the image to (height, width) as Keras's `Resizing` does: half-pixel centres, bilinear."""
    shape = int(height), int(height if width is None else width)

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        return stretch(size[0] / shape[0], size[1] / shape[1]), shape

    return Op(geometry, shape=shape)


def _cut(top: jax.Array, left: jax.Array, height: jax.Array, width: jax.Array, size: Size) -> jax.Array:
    """Returns the matrix of a crop from its first row and column and its size."""
    return translate(top + (height - size[0]) / 2, left + (width - size[1]) / 2)


def random_crop(fraction: float = 0.9) -> Op:
    """Cuts out a square at random, its side this fraction of the image's shorter side; resize after it."""

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        # The document has min_dim * 90 // 100; the small addition makes 0.9 * 100 ninety in float32 too.
        side = jnp.floor(jnp.minimum(jnp.float32(size[0]), jnp.float32(size[1])) * fraction + 1e-3)
        where = jax.random.uniform(draw.key, (2,))
        top, left = (jnp.floor(where[axis] * (size[axis] - side + 1)) for axis in (0, 1))
        return _cut(top, left, side, side, size), (side, side)

    return Op(geometry)


def off_centre_crop() -> Op:
    """Cuts a quarter of the excess over a square off either end of the longer side; resize after it."""

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        side = jnp.minimum(jnp.float32(size[0]), jnp.float32(size[1]))
        top, left = (jnp.floor((size[axis] - side) / 4) for axis in (0, 1))
        height, width = size[0] - 2 * top, size[1] - 2 * left
        return _cut(top, left, height, width, size), (height, width)

    return Op(geometry)


def random_resized_crop(height: float, width: float | None = None, least: float = 0.08) -> Op:
    """Cuts out a random part, `least` ... all of the area, 3:4 to 4:3, and scales it (arXiv 1409.4842).

    A rectangle that is longer than the image is clipped to it instead of being drawn again.
    """
    scaled = resize(height, width)

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        area, ratio, where = jax.random.split(draw.key, 3)
        area = jax.random.uniform(area, minval=least, maxval=1.0) * size[0] * size[1]
        ratio = jnp.exp(jax.random.uniform(ratio, minval=jnp.log(3 / 4), maxval=jnp.log(4 / 3)))
        sides = jnp.minimum(jnp.sqrt(area / ratio), size[0]), jnp.minimum(jnp.sqrt(area * ratio), size[1])
        where = jax.random.uniform(where, (2,))
        top, left = (where[axis] * (size[axis] - sides[axis]) for axis in (0, 1))
        assert scaled.geometry
        fit, shape = scaled.geometry(draw, sides)
        return then(_cut(top, left, *sides, size), fit), shape

    return Op(geometry, shape=scaled.shape)


def pad_and_crop(pixels: float = 4) -> Op:
    """Shifts by up to `pixels` whole pixels: pads, then crops to the old size (arXiv 1512.03385, CIFAR)."""

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        rows, columns = jax.random.randint(draw.key, (2,), -int(pixels), int(pixels) + 1)
        return translate(rows, columns), size

    return Op(geometry)
