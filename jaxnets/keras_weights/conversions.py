"""Layouts that Keras converts when it loads older files: CuDNN's recurrent layers, Theano's kernels."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnets.errors import UserError
from jaxnets.keras_weights.hdf5 import Array, Change, Place
from jaxnets.keras_weights.tree import Weight


def without_cudnn(weights: list[Weight]) -> list[Weight]:
    """Returns a layer's weights in Keras's own layout, converted as Keras does it if they are CuDNN's.

    CuDNN has two biases, one after the other; their length tells its layout from Keras's. Each gate's block
    of a kernel is transposed. An LSTM has one bias, their sum.
    """
    if [weight.role for weight in weights] != ["kernel", "recurrent_kernel", "bias"]:
        return weights
    kernel, recurrent, bias = (weight.value for weight in weights)
    if len(kernel.shape) != 2 or len(recurrent.shape) != 2 or not recurrent.shape[0]:
        return weights
    units, width = recurrent.shape
    gates = width // units
    if gates not in (3, 4) or bias.shape != (2 * width,) or kernel.shape[1] != gates * units:
        return weights

    def each(change: Change) -> Change:
        return lambda values: np.hstack([change(block) for block in np.hsplit(values, gates)])

    changes: Sequence[tuple[tuple[int, ...], Change, Change]] = [
        (
            kernel.shape,
            each(lambda block: block.T.reshape(block.shape, order="F")),
            each(lambda block: block.T.reshape(block.shape, order="C")),
        ),
        (recurrent.shape, each(np.transpose), each(np.transpose)),
        (
            ((width,), lambda values: values.reshape(2, -1).sum(0), lambda values: np.tile(values / 2, 2))
            if gates == 4
            else ((2, width), lambda values: values.reshape(2, -1), np.ravel)
        ),
    ]
    return [
        _changed(weight, shape, decode, encode)
        for weight, (shape, decode, encode) in zip(weights, changes, strict=True)
    ]


def without_theano(weights: list[Weight]) -> list[Weight]:
    """Returns a layer's weights with the convolution kernels of Theano flipped, since it convolves truly."""
    for weight in weights:
        if weight.role == "depthwise_kernel":
            raise UserError(
                f"{_array(weight).where} was saved with Theano, whose such layers differ: give "
                "a file that was saved with another backend"
            )

    def flipped(weight: Weight) -> Weight:
        axes = tuple(range(len(weight.value.shape) - 2))
        if weight.role != "kernel" or not axes:
            return weight

        def flip(values: np.ndarray) -> np.ndarray:
            return np.flip(values, axes)

        return _changed(weight, weight.value.shape, flip, flip)

    return list(map(flipped, weights))


def _changed(weight: Weight, shape: tuple[int, ...], decode: Change, encode: Change) -> Weight:
    array = _array(weight)
    changed: Any = dataclasses.replace(array, shape=shape, read=lambda: decode(array.read()))
    return dataclasses.replace(weight, value=changed, handle=Place(array.name, encode))


def _array(weight: Weight) -> Array:
    array: Any = weight.value
    return array
