"""Changes of colour, and erasing: float32 images (H, W, C) from 0 to 255 in and out."""

import jax
import jax.numpy as jnp

from jaxnets.data.augment.ops import Draw, Op

GREY = (0.299, 0.587, 0.114)  # ITU-R 601-2, Pillow's weights


def blend(image: jax.Array, other: jax.Array, amount: jax.Array) -> jax.Array:
    """Returns other + amount (image - other), as Pillow's ImageEnhance does: 1 leaves the image as it is."""
    return jnp.clip(other + amount * (image - other), 0, 255)


def grey_of(image: jax.Array) -> jax.Array:
    """Returns the grey image, float32 (H, W, 1)."""
    if image.shape[-1] == 1:
        return image
    return jnp.einsum("hwc,c->hw", image, jnp.array(GREY), precision="highest")[..., None]


def adjust_brightness(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Returns the image multiplied by `amount`."""
    return blend(image, jnp.zeros_like(image), amount)


def adjust_contrast(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Returns the image with its difference from its mean grey multiplied by `amount`."""
    return blend(image, jnp.full_like(image, jnp.round(jnp.mean(grey_of(image)))), amount)


def adjust_saturation(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Returns the image with its difference from its grey version multiplied by `amount`."""
    return blend(image, jnp.broadcast_to(grey_of(image), image.shape), amount)


def adjust_hue(image: jax.Array, turns: jax.Array) -> jax.Array:
    """Returns the image with its hue (HSV) shifted by a fraction of a full turn; grey stays grey.

    The channel n in 5, 3, 1 of an image is V - V S max(0, min(k, 4 - k, 1)) with k = (n + 6 hue) mod 6.
    """
    if image.shape[-1] == 1:
        return image
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value, low = jnp.max(image, axis=-1), jnp.min(image, axis=-1)
    chroma = value - low
    span = jnp.where(chroma > 0, chroma, 1)
    # Compared with each other, not with their maximum: a compiler may round that one differently.
    in_green = jnp.where(green >= blue, 2 + (blue - red) / span, 4 + (red - green) / span)
    sixths = jnp.where((red >= green) & (red >= blue), (green - blue) / span, in_green)
    k = (jnp.array([[[5.0, 3.0, 1.0]]]) + (sixths + 6 * turns)[..., None]) % 6
    return value[..., None] - chroma[..., None] * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def brightness(low: float, high: float) -> Op:
    """Multiplies the image by a factor drawn from low ... high (Keras's brightness_range)."""
    return Op(
        pixels=lambda draw, image: adjust_brightness(
            image, jax.random.uniform(draw.key, minval=low, maxval=high)
        )
    )


def channel_shift(most: float) -> Op:
    """Adds a number from -most ... most, clipped to the image's range (Keras's channel_shift_range)."""

    def pixels(draw: Draw, image: jax.Array) -> jax.Array:
        shifted = image + jax.random.uniform(draw.key, minval=-most, maxval=most)
        return jnp.clip(shifted, jnp.min(image), jnp.max(image))

    return Op(pixels=pixels)


def colour_jitter(
    brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
) -> Op:
    """Multiplies brightness, contrast and saturation by factors up to this far from 1, and shifts the hue."""

    def pixels(draw: Draw, image: jax.Array) -> jax.Array:
        amounts = jax.random.uniform(draw.key, (4,), minval=-1.0, maxval=1.0)
        image = adjust_brightness(image, 1 + brightness * amounts[0])
        image = adjust_contrast(image, 1 + contrast * amounts[1])
        image = adjust_saturation(image, 1 + saturation * amounts[2])
        return adjust_hue(image, hue * amounts[3]) if hue else image

    return Op(pixels=pixels)


def cutout(side: float) -> Op:
    """Blackens a square of this side, centred at a random place in the image (arXiv 1708.04552)."""

    def pixels(draw: Draw, image: jax.Array) -> jax.Array:
        height, width = image.shape[:2]
        centre = jax.random.uniform(draw.key, (2,)) * jnp.array([height, width], jnp.float32)
        first = jnp.floor(centre) - int(side) // 2
        rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
        inside = (rows >= first[0]) & (rows < first[0] + int(side))
        inside &= (columns >= first[1]) & (columns < first[1] + int(side))
        return jnp.where(inside[..., None], 0.0, image)

    return Op(pixels=pixels)
