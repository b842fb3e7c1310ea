"""RandAugment (arXiv 1909.13719), with the operations and magnitudes of torchvision's 31 bins."""

import jax
import jax.numpy as jnp

from jaxnets.data.augment.ops import Draw, Op
from jaxnets.data.augment.pixels import adjust_brightness, adjust_contrast, adjust_saturation, blend
from jaxnets.data.augment.warp import Size, matrix, rotate, then, translate

BINS = 31
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
MOST_SHEAR, MOST_SHIFT, MOST_DEGREES, MOST_CHANGE = 0.3, 150 / 331, 30.0, 0.9  # at the highest magnitude


def posterize(image: jax.Array, bits: jax.Array) -> jax.Array:
    """Returns the image with only the highest `bits` bits of every channel."""
    step = 2.0 ** (8 - bits)
    return jnp.floor(image / step) * step


def solarize(image: jax.Array, threshold: jax.Array) -> jax.Array:
    """Returns the image with all values from the threshold up inverted."""
    return jnp.where(image >= threshold, 255 - image, image)


def autocontrast(image: jax.Array) -> jax.Array:
    """Returns the image with every channel stretched to 0 ... 255; a constant channel is unchanged."""
    low, high = jnp.min(image, axis=(0, 1), keepdims=True), jnp.max(image, axis=(0, 1), keepdims=True)
    stretched = (image - low) * (255 / jnp.where(high > low, high - low, 1))
    return jnp.where(high > low, jnp.clip(stretched, 0, 255), image)


def equalize(image: jax.Array) -> jax.Array:
    """Returns the image with every channel's values spread evenly, as Pillow's ImageOps.equalize does."""

    def channel(values: jax.Array) -> jax.Array:
        levels = jnp.clip(jnp.round(values), 0, 255).astype(jnp.int32)
        counts = jnp.zeros(256, jnp.int32).at[levels.ravel()].add(1)
        last = jnp.max(jnp.where(counts > 0, counts * 0 + jnp.arange(256), 0))
        step = (jnp.sum(counts) - counts[last]) // 255
        below = jnp.cumsum(counts) - counts
        table = jnp.clip((step // 2 + below) // jnp.maximum(step, 1), 0, 255)
        return jnp.where(step > 0, table[levels].astype(jnp.float32), values)

    return jnp.stack([channel(image[..., number]) for number in range(image.shape[-1])], axis=-1)


def sharpen(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Returns the image blended with Pillow's ImageFilter.SMOOTH of it; the border pixels are unchanged."""
    height, width = image.shape[:2]
    smooth = jnp.zeros_like(image[1:-1, 1:-1])
    for row in range(3):
        for column in range(3):
            weight = 5 / 13 if row == column == 1 else 1 / 13
            smooth += weight * image[row : row + height - 2, column : column + width - 2]
    return blend(image, image.at[1:-1, 1:-1].set(jnp.round(smooth)), amount)


def rand_augment(operations: float = 2, magnitude: float = 9) -> Op:
    """Applies `operations` operations, each drawn from fourteen, at one magnitude (0 to 30).

    The geometric ones are combined in one warp, before the others. The sign of a magnitude is drawn.
    """
    strength = magnitude / (BINS - 1)
    change = MOST_CHANGE * strength

    def choose(draw: Draw, number: int) -> tuple[jax.Array, jax.Array]:
        which, sign = jax.random.split(jax.random.fold_in(draw.key, number))
        direction = jnp.where(jax.random.bernoulli(sign), 1.0, -1.0)
        return jax.random.randint(which, (), 0, len(GEOMETRIC) + 9), direction

    colours = [
        lambda image, sign: image,
        lambda image, sign: adjust_brightness(image, 1 + sign * change),
        lambda image, sign: adjust_saturation(image, 1 + sign * change),
        lambda image, sign: adjust_contrast(image, 1 + sign * change),
        lambda image, sign: sharpen(image, 1 + sign * change),
        lambda image, sign: posterize(image, 8 - jnp.round(4.0 * strength)),
        lambda image, sign: solarize(image, jnp.float32(255 - 255 * strength)),
        lambda image, sign: autocontrast(image),
        lambda image, sign: equalize(image),
    ]

    def geometry(draw: Draw, size: Size) -> tuple[jax.Array, Size]:
        whole = jnp.eye(3)
        for number in range(int(operations)):
            which, sign = choose(draw, number)
            amount = {
                name: jnp.where(which == place, sign * strength, 0.0) for place, name in enumerate(GEOMETRIC)
            }
            across, down = MOST_SHEAR * amount["shear_x"], MOST_SHEAR * amount["shear_y"]
            rows, columns = (MOST_SHIFT * amount[name] for name in ("translate_y", "translate_x"))
            turn = rotate(MOST_DEGREES * amount["rotate"])
            slant = matrix((1.0, down, 0.0), (across, 1.0, 0.0))
            for step in (turn, slant, translate(rows * size[0], columns * size[1])):
                whole = then(whole, step)
        return whole, size

    def pixels(draw: Draw, image: jax.Array) -> jax.Array:
        for number in range(int(operations)):
            which, sign = choose(draw, number)
            image = jax.lax.switch(
                jnp.maximum(which - len(GEOMETRIC) + 1, 0), [colours[0], *colours], image, sign
            )
        return image

    return Op(geometry, pixels, aligned=False)
