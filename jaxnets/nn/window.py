"""The sliding window that convolutions and pooling have in common, over one, two or three dimensions."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.errors import UserError

Size = int | tuple[int, ...]
Padding = str | Sequence[tuple[int, int]]

# What is convolved and pooled, by its number of dimensions: its name, its axes, and XLA's letters for these.
KINDS = {
    1: ("sequences", "time", "W"),
    2: ("images", "height, width", "HW"),
    3: ("volumes", "depth, height, width", "DHW"),
}


def rank_of(size: Size) -> int:
    """Returns how many dimensions a kernel or window of this size has; one number is that of an image's.

    Raises:
      UserError: If it has none, or more than three.
    """
    rank = 2 if isinstance(size, int) else len(size)
    if rank not in KINDS:
        raise UserError(f"a window of size {size}: it must have one, two or three dimensions")
    return rank


def per_axis(size: Size, rank: int) -> tuple[int, ...]:
    """Returns one number for each of so many dimensions; a single number stands for all of them.

    Raises:
      UserError: If there are more numbers or fewer.
    """
    sizes = (size,) * rank if isinstance(size, int) else tuple(size)
    if len(sizes) != rank:
        what, axes, _ = KINDS[rank]
        raise UserError(f"{size}: {what} take {rank} numbers, for {axes}, or one number")
    return sizes


def dimension_numbers(rank: int) -> tuple[str, str, str]:
    """Returns the layouts of the input, the kernel and the output of a convolution, for XLA."""
    axes = KINDS[rank][2]
    return f"N{axes}C", f"{axes}IO", f"N{axes}C"


def extent(size: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Returns the size of a kernel with ``dilation - 1`` gaps between its neighbouring numbers."""
    return tuple((length - 1) * gap + 1 for length, gap in zip(size, dilation, strict=True))


def padding_of(padding: Padding, window: Sequence[int], causal: bool = False) -> Padding:
    """Returns a padding in XLA's form: "VALID", "SAME" or pairs of numbers.

    Args:
      padding: Keras's "valid" or "same", explicit pairs, or "causal" if that is allowed.
      window: Size of the window, one number for each dimension.
      causal: Whether "causal" is a padding: for convolutions of sequences.

    Raises:
      UserError: If the padding is unknown, or there is not one pair for each dimension.
    """
    known = '"valid", "same"' + (', "causal"' if causal and len(window) == 1 else "")
    if not isinstance(padding, str):
        pairs = tuple((before, after) for before, after in padding) if _is_pairs(padding) else ()
        if len(pairs) != len(window):
            raise UserError(f"padding {padding!r}: give {known} or {len(window)} pairs of numbers")
        return pairs
    if padding.lower() == "causal" and "causal" in known:
        return ((window[0] - 1, 0),)
    if padding.lower() not in ("valid", "same"):
        raise UserError(f"padding {padding!r} is unknown: give {known} or explicit pairs of numbers")
    return padding.upper()


def _is_pairs(padding: object) -> bool:
    return isinstance(padding, Sequence) and all(isinstance(p, Sequence) and len(p) == 2 for p in padding)


def cropped(x: jax.Array, padding: Padding) -> tuple[jax.Array, Padding]:
    """Returns x without what a negative padding cuts off, and the padding without negative numbers.

    XLA itself crops, but a convolution and a window that do so have no gradient in JAX.
    """
    if isinstance(padding, str) or min(number for pair in padding for number in pair) >= 0:
        return x, padding
    cuts = [(min(before, 0), min(after, 0), 0) for before, after in padding]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *cuts, (0, 0, 0)])
    return x, tuple((max(before, 0), max(after, 0)) for before, after in padding)


def check_window(x: jax.Array, window: Sequence[int], padding: Padding) -> None:
    """Checks that x is a batch of sequences, images or volumes, large enough for a window.

    Args:
      x: (batch, time, channels), (batch, height, width, channels) or (batch, depth, height, width, channels).
      window: Size of the window, one number for each dimension.
      padding: Padding that x is to get.

    Raises:
      UserError: If x has another rank, or the window is larger than its maps and they are not padded.
    """
    what, axes, _ = KINDS[rank_of(tuple(window))]
    if x.ndim != len(window) + 2:
        raise UserError(f"{what} must have shape (batch, {axes}, channels), not {x.shape}")
    if isinstance(padding, str) and padding.lower() == "valid":
        size = x.shape[1:-1]
        if any(length < needed for length, needed in zip(size, window, strict=True)):
            raise UserError(
                f"a window of {_times(window)} does not fit into maps of {_times(size)}: the {what} "
                f"are too small for this network, or its layer needs padding"
            )


def _times(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
