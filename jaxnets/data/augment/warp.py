"""One affine warp of an image, and the matrices it is composed of.

A matrix maps (row, column, 1) of the output to the input, both measured from the centre of their image in
pixels: rotations and zooms about the centre need no offset, and a shift is the only translation.
"""

from typing import Literal

import jax
import jax.numpy as jnp

Fill = Literal["nearest", "constant", "reflect", "wrap"]
Size = tuple[float | jax.Array, float | jax.Array]  # (height, width) of an image, possibly traced


def matrix(*rows: tuple[float | jax.Array, ...]) -> jax.Array:
    """Returns float32 (3, 3) from its first two rows."""
    return jnp.stack([jnp.stack([jnp.float32(value) for value in row]) for row in (*rows, (0.0, 0.0, 1.0))])


def then(first: jax.Array, second: jax.Array) -> jax.Array:
    """Returns the matrix of two transforms of an image, one after the other."""
    return jnp.matmul(first, second, precision="highest")  # TF32 is too coarse for coordinates


def rotate(degrees: jax.Array) -> jax.Array:
    """Returns the rotation of Keras's `apply_affine_transform(theta=degrees)`, counterclockwise."""
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return matrix((cos, sin, 0.0), (-sin, cos, 0.0))


def translate(rows: float | jax.Array, columns: float | jax.Array) -> jax.Array:
    """Returns the translation whose output shows what lies this many rows and columns further on."""
    return matrix((1.0, 0.0, rows), (0.0, 1.0, columns))


def shear(degrees: jax.Array) -> jax.Array:
    """Returns Keras's shear: the columns of a row move by its height times sin(degrees)."""
    angle = jnp.deg2rad(degrees)
    return matrix((jnp.cos(angle), 0.0, 0.0), (-jnp.sin(angle), 1.0, 0.0))


def stretch(rows: float | jax.Array, columns: float | jax.Array) -> jax.Array:
    """Returns the scaling whose output spans this multiple of its own size in the input; -1 flips."""
    return matrix((rows, 0.0, 0.0), (0.0, columns, 0.0))


def warp(
    image: jax.Array, transform: jax.Array, shape: tuple[int, int], fill: Fill = "nearest", value: float = 0.0
) -> jax.Array:
    """Returns an image sampled through a matrix, bilinearly.

    Args:
        image: float32 (H, W, C).
        transform: (3, 3), from the output to the input.
        shape: (height, width) of the output.
        fill: What lies outside, in Keras's terms: nearest aaaa|abcd|dddd, constant vvvv|abcd|vvvv, reflect
            dcba|abcd|dcba, wrap abcd|abcd|abcd (SciPy's nearest, grid-constant, grid-mirror, grid-wrap).
        value: Value of the constant fill.

    Returns:
        The output, float32 (*shape, C).
    """
    height, width, channels = image.shape
    rows = jnp.arange(shape[0], dtype=jnp.float32)[:, None] - (shape[0] - 1) / 2
    columns = jnp.arange(shape[1], dtype=jnp.float32)[None, :] - (shape[1] - 1) / 2
    y = transform[0, 0] * rows + transform[0, 1] * columns + transform[0, 2] + (height - 1) / 2
    x = transform[1, 0] * rows + transform[1, 1] * columns + transform[1, 2] + (width - 1) / 2
    top, left = jnp.floor(y), jnp.floor(x)
    pixels = image.reshape(height * width, channels)

    def at(row: jax.Array, column: jax.Array) -> jax.Array:
        inside_row, row = _inside(row.astype(jnp.int32), height, fill)
        inside_column, column = _inside(column.astype(jnp.int32), width, fill)
        found = pixels[row * width + column]
        if fill != "constant":
            return found
        return jnp.where((inside_row & inside_column)[..., None], found, value)

    down, right = (y - top)[..., None], (x - left)[..., None]
    above = at(top, left) * (1 - right) + at(top, left + 1) * right
    below = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return above * (1 - down) + below * down


def _inside(index: jax.Array, size: int, fill: Fill) -> tuple[jax.Array, jax.Array]:
    """Returns whether an index lies inside the image, and the index to read in its place."""
    inside = (index >= 0) & (index < size)
    if fill == "wrap":
        return inside, index % size
    if fill == "reflect":
        index = index % (2 * size)
        return inside, jnp.minimum(index, 2 * size - 1 - index)
    return inside, jnp.clip(index, 0, size - 1)


def resample(image: jax.Array, transform: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Returns an image sampled through a matrix that only scales, flips and shifts, with antialiasing.

    This is `jax.image.scale_and_translate`; what lies outside the image is black.

    Args:
        image: float32 (H, W, C).
        transform: (3, 3), without rotation or shear.
        shape: (height, width) of the output.
    """
    inside, outside = jnp.array(image.shape[:2], jnp.float32), jnp.array(shape, jnp.float32)
    factor, offset = jnp.diagonal(transform)[:2], transform[:2, 2]
    span = jnp.abs(factor)
    result = jax.image.scale_and_translate(
        image,
        (*shape, image.shape[2]),
        (0, 1),
        1 / span,
        outside / 2 - (inside / 2 + offset) / span,
        method="linear",
        antialias=True,
    )
    for axis in (0, 1):
        result = jnp.where(factor[axis] < 0, jnp.flip(result, axis), result)
    return result


def move_boxes(boxes: jax.Array, transform: jax.Array, size: Size, shape: Size) -> jax.Array:
    """Returns the boxes after a warp: the bounds of their corners, clipped to the image.

    Args:
        boxes: (..., 4), the edges ymin, xmin, ymax, xmax as fractions of the image.
        transform: (3, 3), from the output to the input.
        size: (height, width) of the input.
        shape: (height, width) of the output.

    Returns:
        The boxes, (..., 4); zeros where nothing of a box is left.
    """
    edges = boxes.reshape(-1, 2, 2)  # box, (first, last), (y, x)
    inside, outside = (jnp.stack([jnp.float32(s) for s in sides])[None, None] for sides in (size, shape))
    edges = (edges - 0.5) * inside
    y, x = edges[:, jnp.array([0, 0, 1, 1]), 0], edges[:, jnp.array([0, 1, 0, 1]), 1]
    corners = jnp.stack([y, x, jnp.ones_like(y)], axis=-1)
    back = jnp.linalg.inv(transform)
    moved = jnp.einsum("ij,bcj->bci", back, corners, precision="highest")[..., :2] / outside + 0.5
    found = jnp.clip(jnp.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=-1), 0, 1)
    empty = (found[:, 2] <= found[:, 0]) | (found[:, 3] <= found[:, 1])
    return jnp.where(empty[:, None], 0, found).reshape(boxes.shape)
