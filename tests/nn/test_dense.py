"""Dense, Embedding, Dropout and the initializers."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_dense_is_an_affine_map_of_the_last_axis(shape):
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.normal(size=s).astype(np.float32) for s in (shape, (4, 5), (5,)))
    got = nn.Dense(5).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    expected = np.einsum("...i,io->...o", x, kernel)
    close = {"rtol": 1e-5, "atol": 1e-5}  # what cancels keeps the roundings of its terms
    np.testing.assert_allclose(got, expected + np.broadcast_to(bias, (5,)), **close)
    got = nn.Dense(5, use_bias=False).apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_allclose(got, expected, **close)


def test_embedding_looks_up_rows_and_casts_float_ids():
    table = jnp.arange(6.0).reshape(3, 2)
    layer = nn.Embedding(3, 2)
    for dtype in (jnp.int32, jnp.float32, jnp.uint8):
        got = layer.apply({"params": {"embedding": table}}, jnp.array([[2, 0]], dtype))
        np.testing.assert_array_equal(got, [[[4, 5], [0, 1]]])
    for outside in (3, -1):
        assert np.all(np.isnan(layer.apply({"params": {"embedding": table}}, jnp.array([outside]))))
    start = nn.Embedding(300, 20).init(jax.random.key(0), jnp.array([0]))["params"]["embedding"]
    assert 0.0499 < np.max(np.abs(start)) <= 0.05


def test_dropout_keeps_the_expectation():
    x = 2 * jnp.ones((100, 100))
    layer = nn.Dropout(0.2)
    rngs = {"dropout": jax.random.key(0)}
    y = np.asarray(layer.apply({}, x, train=True, rngs=rngs))
    assert set(np.unique(y)) == {0.0, 2.5}
    assert abs(np.mean(y == 0) - 0.2) < 4 * np.sqrt(0.2 * 0.8 / y.size)  # four deviations
    np.testing.assert_array_equal(layer.apply({}, x, train=False), x)
    np.testing.assert_array_equal(nn.Dropout(0.0).apply({}, x, train=True), x)
    grad = jax.grad(lambda x: jnp.sum(layer.apply({}, x, train=True, rngs=rngs)))(x)
    np.testing.assert_array_equal(grad, y / 2)
    assert layer.apply({}, x.astype(jnp.bfloat16), train=True, rngs=rngs).dtype == jnp.bfloat16


@pytest.mark.parametrize("rate", [-0.1, 1.1, 50])
def test_a_dropout_rate_that_is_no_share_is_the_users_error(rate):
    with pytest.raises(UserError, match="it must be from 0 to 1"):
        nn.Dropout(rate).apply({}, jnp.ones(3), train=False)


def test_a_dropout_rate_of_one_leaves_zeros_as_in_keras():
    x = jnp.full(5, jnp.inf)
    for train, expected in ((True, np.zeros(5)), (False, x)):
        found = nn.Dropout(1.0).apply({}, x, train=train, rngs={"dropout": jax.random.key(0)})
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found, keras.layers.Dropout(1.0)(x, training=train))


def test_whole_channels_are_dropped_together():
    x = jnp.ones((4, 5, 6, 20))
    layer = nn.Dropout(0.5, broadcast_dims=(1, 2))
    y = np.asarray(layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)}))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert set(np.unique(y[:, 0, 0])) == {0.0, 2.0}


SHAPE = (3, 3, 20, 300)
NOT_DRAWN = ("constant", "identity")  # tested in test_initializers.py


@pytest.mark.parametrize("name", sorted(set(nn.INITIALIZERS) - set(NOT_DRAWN)))
def test_initializers_draw_from_keras_distributions(name):
    """Deviation and extremes, and for the orthogonal one the property itself."""
    ours = np.asarray(nn.get_initializer(name)(jax.random.key(0), SHAPE, jnp.float32))
    if name == "orthogonal":
        rows = ours.reshape(-1, 300)  # 180 of them: fewer than columns, so they are the orthonormal ones
        np.testing.assert_allclose(rows @ rows.T, np.eye(180), atol=1e-5)
        return
    theirs = np.asarray(keras.initializers.get(name)(SHAPE))
    # Of n draws the deviation is known to a share of 1 / sqrt(2 n) at most and the mean to 1 / sqrt(n) of it,
    # either of the two: five times that, since Keras draws others in every run.
    far = 5 * np.sqrt(2 / ours.size)
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=far)
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=far * theirs.std())
    if name != "random_normal":  # the others are bounded; a long tail has no steady extreme
        np.testing.assert_allclose(ours.max(), theirs.max(), rtol=0.02)


def test_depthwise_kernels_have_keras_fans():
    shape = (3, 3, 200, 2)  # fan-in 3*3*200, fan-out 3*3*2
    limit = np.sqrt(6 / (9 * 200 + 9 * 2))
    ours = np.asarray(nn.get_initializer("glorot_uniform")(jax.random.key(0), shape, jnp.float32))
    assert 0.99 * limit < np.max(np.abs(ours)) <= limit


def test_unknown_initializer_is_the_users_error():
    with pytest.raises(UserError, match="unknown initializer 'glorot'"):
        nn.get_initializer("glorot")
