"""What a layer costs, by formula (chapters 2 and 5): parameters, multiply-adds, output size, receptive field.

`jaxnets.summary.summarize` counts the same on any network of this package; these are the rules behind it.
"""

import math
from collections.abc import Sequence

from jaxnets.errors import UserError

Size = int | tuple[int, int]


def _area(size: Size) -> int:
    return size * size if isinstance(size, int) else math.prod(size)


def dense_parameters(inputs: int, outputs: int, bias: bool = True) -> int:
    """inputs * outputs + outputs."""
    return inputs * outputs + bias * outputs


def dense_multiply_adds(inputs: int, outputs: int) -> int:
    """inputs * outputs; adding the bias is not counted."""
    return inputs * outputs


def conv_parameters(kernel: Size, inputs: int, outputs: int, bias: bool = True) -> int:
    """k * k * c_in * c_out + c_out, whatever the size of the image."""
    return _area(kernel) * inputs * outputs + bias * outputs


def conv_multiply_adds(kernel: Size, inputs: int, outputs: int, output_size: Size) -> int:
    """k * k * c_in * c_out for every place of the output."""
    return _area(kernel) * inputs * outputs * _area(output_size)


def output_size(n: int, kernel: int, stride: int = 1, padding: str = "valid") -> int:
    """The side a convolution or pooling gives: ceil(n / s) for "same", ceil((n - k + 1) / s) for "valid".

    Raises:
        UserError: the padding is neither, or a "valid" kernel is larger than the image.

    Examples:
        >>> output_size(28, kernel=5, padding="same"), output_size(32, kernel=5), output_size(7, 3, stride=2)
        (28, 28, 3)
    """
    if padding not in ("same", "valid"):
        raise UserError(f'padding {padding!r} is unknown: give "same" or "valid"')
    reach = n if padding == "same" else n - kernel + 1
    if reach < 1:
        raise UserError(f'a kernel of {kernel} does not fit an image of {n}: choose a smaller one or "same"')
    return -(-reach // stride)


def receptive_field(layers: Sequence[tuple[int, int]]) -> int:
    """The side of the input patch that one output value sees, for layers (kernel, stride) from the first on.

    Each layer widens it by (kernel - 1) times the strides before it.

    Examples:
        >>> receptive_field([(3, 1), (3, 1)]), receptive_field([(5, 1)])
        (5, 5)
    """
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field
