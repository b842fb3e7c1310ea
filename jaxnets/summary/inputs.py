"""What a network is called with, by the shape of one example: one array, several, a dict or a list."""

from typing import Any

import jax

Shapes = Any
"""The shape of one example without the batch axis; of several inputs a tuple, list or dict of shapes."""


def is_shape(value: Shapes) -> bool:
    """Whether this is the shape of one array, (28, 28, 1), and not several shapes."""
    return not isinstance(value, dict) and not any(isinstance(side, (tuple, list, dict)) for side in value)


def arguments(input_shape: Shapes, dtype: Any, batch: int = 1) -> tuple[Any, ...]:
    """Returns the abstract arrays that a network is called with.

    Args:
        input_shape: Shape of one example without the batch axis; or a tuple of shapes for a network that is
            called with several arrays, `net(a, b)`; a list for one that is called with a list, `net([a, b])`;
            a dict for one that is called with a dict, `net({"a": a, "b": b})`.
        dtype: Dtype of all inputs, or a tuple, list or dict of dtypes laid out as the shapes.
        batch: Number of examples.

    Examples:
        >>> arguments(((28, 28, 1), (3,)), ("float32", "int32"))[1]
        ShapeDtypeStruct(shape=(1, 3), dtype=int32)
    """

    def array(shape: Any, dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch, *shape), dtype)

    if is_shape(input_shape):
        return (array(input_shape, dtype),)
    if isinstance(input_shape, dict):
        dtypes = dtype if isinstance(dtype, dict) else dict.fromkeys(input_shape, dtype)
        return ({name: array(shape, dtypes[name]) for name, shape in input_shape.items()},)
    several = dtype if isinstance(dtype, (tuple, list)) else [dtype] * len(input_shape)
    arrays = [array(shape, one) for shape, one in zip(input_shape, several, strict=True)]
    return tuple(arrays) if isinstance(input_shape, tuple) else (arrays,)


def with_batch(input_shape: Shapes) -> Any:
    """Returns the shape of a batch, or of each input's: None in front."""
    if isinstance(input_shape, dict):
        return {name: with_batch(shape) for name, shape in input_shape.items()}
    if is_shape(input_shape):
        return (None, *input_shape)
    return [with_batch(shape) for shape in input_shape]
