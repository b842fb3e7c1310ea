"""Pooling beside Keras's layers and by hand."""

import itertools

import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn

X = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)
GRID = list(itertools.product([2, 3, (3, 2)], [None, 1, 2, (1, 2)], ["valid", "same"]))


@pytest.mark.parametrize("window, strides, padding", GRID)
def test_max_pool(window, strides, padding):
    expected = keras.layers.MaxPooling2D(window, strides, padding)(X)
    np.testing.assert_array_equal(nn.max_pool(X, window, strides, padding), expected)


@pytest.mark.parametrize("window, strides, padding", GRID)
def test_avg_pool(window, strides, padding):
    expected = keras.layers.AveragePooling2D(window, strides, padding)(X)
    np.testing.assert_allclose(nn.avg_pool(X, window, strides, padding), expected, rtol=1e-6, atol=1e-6)


def test_same_average_leaves_the_padding_out():
    x = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    got = nn.avg_pool(x, 2, padding="same")[0, :, :, 0]
    np.testing.assert_allclose(got, [[(1 + 2 + 4 + 5) / 4, (3 + 6) / 2], [(7 + 8) / 2, 9]])


def test_max_of_negative_values_is_not_the_padding():
    assert float(nn.max_pool(-jnp.ones((1, 1, 1, 1)), 3, padding="same")[0, 0, 0, 0]) == -1


def test_global_pooling():
    np.testing.assert_allclose(nn.global_avg_pool(X), X.mean((1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(nn.global_max_pool(X), X.max((1, 2)))
