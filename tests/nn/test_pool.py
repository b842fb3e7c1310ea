"""Pooling beside Keras's layers and by hand."""

import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError

X = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)
GRID = list(itertools.product([2, 3, (3, 2)], [None, 1, 2, (1, 2)], ["valid", "same"]))


@pytest.mark.parametrize("window, strides, padding", GRID)
@pytest.mark.sampled(4)
def test_max_pool(window, strides, padding):
    expected = keras.layers.MaxPooling2D(window, strides, padding)(X)
    np.testing.assert_array_equal(nn.max_pool(X, window, strides, padding), expected)


@pytest.mark.parametrize("window, strides, padding", GRID)
@pytest.mark.sampled(4)
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


S = np.random.default_rng(1).normal(size=(2, 9, 3)).astype(np.float32)
V = np.random.default_rng(2).normal(size=(2, 5, 6, 4, 3)).astype(np.float32)
L = keras.layers
OTHER_RANKS = [
    (S, L.MaxPooling1D(3, 2, "same"), lambda x: nn.max_pool(x, (3,), 2, "same")),
    (S, L.AveragePooling1D(2), lambda x: nn.avg_pool(x, (2,))),
    (S, L.AveragePooling1D(4, 3, "same"), lambda x: nn.avg_pool(x, (4,), 3, "same")),
    (V, L.MaxPooling3D((2, 3, 2), 2), lambda x: nn.max_pool(x, (2, 3, 2), 2)),
    (V, L.AveragePooling3D((2, 3, 2), padding="same"), lambda x: nn.avg_pool(x, (2, 3, 2), padding="same")),
    (S, L.GlobalMaxPooling1D(), lambda x: nn.global_max_pool(x, rank=1)),
    (S, L.GlobalAveragePooling1D(keepdims=True), lambda x: nn.global_avg_pool(x, rank=1, keepdims=True)),
    (V, L.GlobalMaxPooling3D(keepdims=True), lambda x: nn.global_max_pool(x, rank=3, keepdims=True)),
    (V, L.GlobalAveragePooling3D(), lambda x: nn.global_avg_pool(x, rank=3)),
]


@pytest.mark.parametrize(
    "x, theirs, ours",
    [
        pytest.param(*one, marks=() if i in (2, 3, 6) else pytest.mark.slow)
        for i, one in enumerate(OTHER_RANKS)
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_sequences_and_volumes_equal_keras(x, theirs, ours):
    expected, their_pull = jax.vjp(lambda x: theirs(x), x)
    found, pull = jax.vjp(ours, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pull(jnp.cos(found))[0], their_pull(jnp.cos(found))[0], rtol=1e-5, atol=1e-6)


def test_an_average_over_time_with_a_mask():
    mask = np.arange(9) < np.array([[4], [7]])
    expected = L.GlobalAveragePooling1D()(S, mask=mask)
    holes = jnp.where(mask[..., None], S, jnp.nan)
    np.testing.assert_allclose(nn.global_avg_pool(holes, mask, rank=1), expected, rtol=1e-5, atol=1e-6)
    assert np.all(np.asarray(nn.global_avg_pool(S, jnp.zeros((2, 9)), rank=1)) == 0)  # nan in Keras


def test_a_rank_that_does_not_fit_is_the_users_error():
    with pytest.raises(UserError, match=r"sequences must have shape \(batch, time, channels\), not"):
        nn.max_pool(X, (2,))
    with pytest.raises(UserError, match="a window of 2x9x2 does not fit into maps of 5x6x4: the volumes are"):
        nn.avg_pool(V, (2, 9, 2))
    with pytest.raises(UserError, match=r"a mask of shape \(2, 8\) does not fit"):
        nn.global_avg_pool(S, jnp.ones((2, 8)), rank=1)
    with pytest.raises(UserError, match="one, two or three dimensions"):
        nn.global_max_pool(S, rank=4)
