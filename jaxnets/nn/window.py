"""The sliding window that convolutions and pooling have in common."""

from collections.abc import Sequence

import jax

from jaxnets.errors import UserError

Size = int | tuple[int, int]
Padding = str | Sequence[tuple[int, int]]


def pair(size: Size) -> tuple[int, int]:
    """Returns (height, width); one number stands for both."""
    return (size, size) if isinstance(size, int) else size


def padding_of(padding: Padding) -> Padding:
    """Returns Keras's "valid" or "same", or explicit ((top, bottom), (left, right)), in XLA's form.

    Raises:
      UserError: If the padding is unknown.
    """
    if not isinstance(padding, str):
        return padding
    if padding.lower() not in ("valid", "same"):
        raise UserError(f'padding {padding!r} is unknown: give "valid", "same" or explicit pairs of numbers')
    return padding.upper()


def check_window(x: jax.Array, window: tuple[int, int], padding: Padding) -> None:
    """Checks that x is a batch of images, (batch, height, width, channels), large enough for a window.

    Raises:
      UserError: If x is not a batch of images, or the window is larger than the images and they are not
        padded.
    """
    if x.ndim != 4:
        raise UserError(f"images must have shape (batch, height, width, channels), not {x.shape}")
    if isinstance(padding, str) and padding.lower() == "valid":
        height, width = x.shape[1:3]
        if height < window[0] or width < window[1]:
            raise UserError(
                f"a window of {window[0]}x{window[1]} does not fit into maps of {height}x{width}: the images "
                f"are too small for this network, or its layer needs padding"
            )
