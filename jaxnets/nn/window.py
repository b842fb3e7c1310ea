"""What convolutions and pooling have in common: a window that slides over an image."""

from collections.abc import Sequence

import jax

from jaxnets.errors import UserError

Size = int | tuple[int, int]
Padding = str | Sequence[tuple[int, int]]


def pair(size: Size) -> tuple[int, int]:
    """One number stands for both height and width."""
    return (size, size) if isinstance(size, int) else size


def padding_of(padding: Padding) -> Padding:
    """Keras's "valid" or "same", or explicit ((top, bottom), (left, right)), in the form XLA takes.

    Raises:
      UserError: another word.
    """
    if not isinstance(padding, str):
        return padding
    if padding.lower() not in ("valid", "same"):
        raise UserError(f'padding {padding!r} is unknown: give "valid", "same" or explicit pairs of numbers')
    return padding.upper()


def check_window(x: jax.Array, window: tuple[int, int], padding: Padding) -> None:
    """See that a window slides over images, (batch, height, width, channels), that are large enough for it.

    Raises:
      UserError: x is no batch of images, or the window is larger than the image and nothing pads it.
    """
    if x.ndim != 4:
        raise UserError(f"images must come as (batch, height, width, channels), these are {x.shape}")
    if isinstance(padding, str) and padding.lower() == "valid":
        height, width = x.shape[1:3]
        if height < window[0] or width < window[1]:
            raise UserError(
                f"a window of {window[0]}x{window[1]} does not fit into maps of {height}x{width}: the images "
                f"are too small for this network, or its layer needs padding"
            )
