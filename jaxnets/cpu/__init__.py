"""Formulations for CPUs of operations that XLA compiles badly there.

Layers do not depend on them. A program opts in by `jaxnets.platforms`; tests compare each formulation with
the plain operation that it replaces. How they were found, and what did not help: docs/developing/speed.md.
"""

import math
from typing import Any

import jax.numpy as jnp

from jaxnets.cpu import batch_norm, convolution, dense, depthwise, masks, pooling, recurrence, rows, update
from jaxnets.cpu.stored import suits
from jaxnets.nn.operation import Formulation, Table


def _is_float32(*arrays: Any) -> bool:
    return suits(*arrays) and all(array.dtype == jnp.float32 for array in arrays)


def _is_of_images(x: Any, dilation: tuple[int, ...]) -> bool:
    return x.ndim == 4 and dilation == (1, 1)


TABLE: Table = (
    Formulation(
        "convolve",
        lambda x, kernel, strides, padding, groups, dilation: (
            groups == 1 and _is_of_images(x, dilation) and _is_float32(x, kernel)
        ),
        convolution.convolve,
        "gradients of kernels in pieces, first layers as shifted images, 3x3 of many channels by Winograd",
    ),
    Formulation(
        "convolve",
        lambda x, kernel, strides, padding, groups, dilation: (
            groups == x.shape[-1] == kernel.shape[-1]
            and strides == (1, 1)
            and _is_of_images(x, dilation)
            and _is_float32(x, kernel)
        ),
        depthwise.convolve,
        "XLA's depthwise convolution is a scalar loop",
    ),
    Formulation(
        "multiply",
        lambda x, kernel: _is_float32(x, kernel) and dense.blocks(x, kernel) > 1,
        dense.multiply,
        "large matrices times small batches read in order: the CNN's step 17.6 to 15.1 ms",
    ),
    Formulation(
        "max_pool",
        lambda x, window, strides, padding: (
            len(window) == 2 and suits(x) and math.prod(window) <= pooling.MOST_TAPS
        ),
        pooling.max_pool,
        "XLA's own gradient visits the windows one by one",
    ),
    Formulation(
        "channelwise",
        lambda function, x, *vectors: x.ndim > 2 and suits(x, *vectors),
        rows.channelwise,
        "the gradient of a bias is a sum of long rows, not a scalar loop",
    ),
    Formulation(
        "normalize",
        lambda x, *others: x.ndim > 2 and suits(x),
        batch_norm.normalize,
        "gradients of scale and bias as sums of rows",
    ),
    Formulation(
        "normalize_batch",
        lambda x, scale, bias, epsilon, mask, axis_name, shift: (
            x.ndim > 2 and (mask is None or mask.ndim == 1) and axis_name is None and suits(x)
        ),
        batch_norm.normalize_batch,
        "BatchNorm and ReLU, forward and backward, at 32x32x32x64: 8.2 to 3.4 ms",
    ),
    Formulation(
        "bernoulli",
        lambda key, probability, shape: (
            suits(key) and 0 < math.prod(shape) < 2**32 and masks.is_threefry(key)
        ),
        masks.bernoulli,
        "Dropout's bits in one vectorized loop",
    ),
    Formulation(
        "recur",
        lambda cell, states, activation, sequences, x, *weights: (
            cell in recurrence.CELLS and activation is jnp.tanh and suits(x)
        ),
        recurrence.recur,
        "activations computed once, parameters' gradients as one product: LSTM's step 12.7 to 9.3 ms",
    ),
    Formulation(
        "only_if",
        lambda condition, change, *old: suits(condition),
        update.only_if,
        "selecting elementwise takes up to a fifth of a step",
    ),
    Formulation(
        "total", lambda tree: True, update.total, "sums as products with ones, far faster than XLA's sums"
    ),
)
