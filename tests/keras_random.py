"""Keras layers with random weights, quickly, and in float64."""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from unittest import mock

import jax
import keras
import numpy as np
from keras.initializers import GlorotUniform, Ones, Orthogonal, RandomUniform, Zeros
from keras.src.backend.common import dtypes

KERNELS = (GlorotUniform, Orthogonal, RandomUniform)


@contextmanager
def random_weights(seed: int):
    """Inside this context every weight of a new Keras layer is random: biases, scales and statistics too.

    Drawn by NumPy because Keras's own draws compile a program per shape, which takes longer than the tests.
    """
    rng = np.random.default_rng(seed)

    def centred(shape):
        return rng.normal(0, 0.1, shape)  # biases, running means

    def positive(shape):
        return rng.uniform(0.5, 1.5, shape)  # scales, running variances

    def kernel(shape):
        return rng.normal(0, (2 / (np.prod(shape[:-1]) + shape[-1])) ** 0.5, shape)

    with _initialized(dict.fromkeys(KERNELS, kernel) | {Zeros: centred, Ones: positive}):
        yield


@contextmanager
def no_weights():
    """Inside this context the weights of new Keras layers are zeros, to be replaced: nothing is compiled."""
    with _initialized(dict.fromkeys((*KERNELS, Zeros, Ones), np.zeros)):
        yield


@contextmanager
def _initialized(draws: dict[type, Callable[[tuple[int, ...]], np.ndarray]]):
    def draw(values):
        return lambda self, shape, dtype=None: keras.ops.convert_to_tensor(values(shape), dtype)

    with ExitStack() as stack:
        for initializer, values in draws.items():
            stack.enter_context(mock.patch.object(initializer, "__call__", draw(values)))
        yield


@contextmanager
def keras_in_float64():
    """Inside this context Keras computes in float64, which on its JAX backend it otherwise rounds away."""
    wide = {"float64": "float64"}
    with jax.enable_x64(True), mock.patch.dict(dtypes.BIT64_TO_BIT32_DTYPE, wide):
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        try:
            yield
        finally:  # a row that fails must not leave the others in float64
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")
