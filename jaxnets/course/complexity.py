"""The cost of a layer by formula: parameters, multiply-adds, output size, receptive field.

`jaxnets.summary.summarize` counts the same for any network; these are the rules behind it.
"""

import math
from collections.abc import Sequence

from jaxnets.errors import UserError

Size = int | tuple[int, int]


def _area(size: Size) -> int:
    return size * size if isinstance(size, int) else math.prod(size)


def dense_parameters(inputs: int, outputs: int, bias: bool = True) -> int:
    """Returns the parameters of a dense layer, inputs * outputs + outputs."""
    return inputs * outputs + bias * outputs


def dense_multiply_adds(inputs: int, outputs: int) -> int:
    """Returns the multiply-adds of a dense layer, inputs * outputs; adding the bias is not counted."""
    return inputs * outputs


def conv_parameters(kernel: Size, inputs: int, outputs: int, bias: bool = True) -> int:
    """Returns the parameters of a convolution, k * k * c_in * c_out + c_out, for images of any size."""
    return _area(kernel) * inputs * outputs + bias * outputs


def conv_multiply_adds(kernel: Size, inputs: int, outputs: int, output_size: Size) -> int:
    """Returns the multiply-adds of a convolution, k * k * c_in * c_out per output pixel."""
    return _area(kernel) * inputs * outputs * _area(output_size)


def output_size(n: int, kernel: int, stride: int = 1, padding: str = "valid") -> int:
    """Returns the output side of a window: ceil(n / s) for "same", ceil((n - k + 1) / s) for "valid".

    Raises:
        UserError: If the padding is neither, or a "valid" kernel is larger than the image.

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
    """Returns the side of the input patch that one output sees, for layers (kernel, stride), first to last.

    Each layer widens it by (kernel - 1) times the product of the strides before it.

    Examples:
        >>> receptive_field([(3, 1), (3, 1)]), receptive_field([(5, 1)])
        (5, 5)
    """
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field
