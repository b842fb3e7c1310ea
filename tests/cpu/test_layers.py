"""Other formulations for CPUs beside the plain ones: recurrence, masks, pools, BatchNorm, large matrices."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.cpu import dense
from jaxnets.nn.dense import multiply
from jaxnets.nn.dropout import bernoulli
from jaxnets.nn.norm import normalize_batch
from tests.cpu.plain import PADDINGS, RNG, check, close, for_cpu, random

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU}


def recurrent(name, **options):
    """A function of x and the parameters, and random parameters."""
    layer = RECURRENT[name](6, **options)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 1, 4)))["params"]
    return (lambda x, params: layer.apply({"params": params}, x)), jax.tree.map(
        lambda leaf: random(*leaf.shape), shapes
    )


@pytest.mark.parametrize("batch, time", [(3, 7), (1, 1)])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.sampled(3)
def test_recurrence(name, sequences, batch, time):
    apply, params = recurrent(name, return_sequences=sequences)
    check(apply, random(batch, time, 4), params)


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.sampled(2)
def test_recurrence_differentiated_twice_and_mapped(name):
    apply, params = recurrent(name, return_sequences=True)

    def norm_of_gradients(x, params):
        grads = jax.grad(lambda *a: jnp.sum(jnp.sin(apply(*a))), (0, 1))(x, params)
        return sum(jnp.sum(jnp.square(grad)) for grad in jax.tree.leaves(grads)).reshape(1)

    check(norm_of_gradients, random(2, 4, 4), params)
    check(jax.vmap(apply, (0, None)), random(2, 3, 4, 4), params)


@pytest.mark.parametrize("shape", [(3,), (2, 5, 7)])
@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey, partial(jax.random.key, impl="rbg")])
@pytest.mark.sampled(3)
def test_masks_have_the_bits_of_jax(make, shape):
    draw = jax.jit(for_cpu(lambda key: bernoulli(key, 0.3, shape)))
    for seed in range(20):
        key = make(seed)
        np.testing.assert_array_equal(draw(key), jax.random.bernoulli(key, 0.3, shape))
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(0), seed))(jnp.arange(4))
    mapped = jax.vmap(for_cpu(lambda key: bernoulli(key, 0.3, shape)))(keys)
    expected = jax.vmap(lambda key: jax.random.bernoulli(key, 0.3, shape))(keys)
    np.testing.assert_array_equal(mapped, expected)


POOLS = list(itertools.product([2, 3, (3, 2)], [None, 1, 2, (1, 3)], PADDINGS))


@pytest.mark.parametrize("window, strides, padding", POOLS)
@pytest.mark.sampled(5)
def test_max_pool(window, strides, padding):
    """With many ties, whose gradient goes to the first."""
    x = jnp.asarray(RNG.integers(0, 3, (2, 7, 8, 3)), jnp.float32)
    check(partial(nn.max_pool, window=window, strides=strides, padding=padding), x)


def test_max_pool_differentiated_twice_and_mapped():
    def norm_of_gradient(x):
        grad = jax.grad(lambda x: jnp.sum(jnp.sin(nn.max_pool(x, 3, 2))))(x)
        return jnp.sum(jnp.square(grad)).reshape(1)

    check(norm_of_gradient, random(2, 7, 8, 3))
    check(jax.vmap(partial(nn.max_pool, window=3, strides=1, padding="same")), random(2, 2, 5, 6, 3))


def test_max_pool_of_other_types_and_of_nan():
    for dtype in (jnp.int32, jnp.uint8, jnp.bfloat16):
        x = jnp.asarray(RNG.integers(0, 200, (1, 5, 5, 2)), dtype)
        expected = nn.max_pool(x, 2, padding="same")
        got = for_cpu(nn.max_pool)(x, 2, None, "same")
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == dtype
    assert jnp.isnan(for_cpu(nn.max_pool)(jnp.array([1.0, jnp.nan, 3, 2]).reshape(1, 2, 2, 1), 2)).all()


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (4, 8, 6, 70), (4, 5, 3), (4, 3)])
@pytest.mark.parametrize("mask", [None, (1.0, 1, 0, 1)])
@pytest.mark.sampled(5)
def test_batch_norm(shape, mask, train):
    layer = nn.BatchNorm()
    params, statistics = (
        {name: jnp.exp(random(shape[-1])) for name in names} for names in (("scale", "bias"), ("mean", "var"))
    )
    mask = None if mask is None else jnp.array(mask)

    def apply(params, statistics, x):
        variables = {"params": params, "batch_stats": statistics}
        y, moved = layer.apply(variables, x, train, mask, mutable=["batch_stats"])
        moved = jax.tree.map(lambda value: 100 * value, moved)  # the batch's share is a hundredth
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves((y, moved))])

    check(apply, params, statistics, random(*shape) + 1)


def test_batch_norm_differentiated_twice_and_mapped():
    x, scale, bias = random(2, 4, 3, 5, 3), random(3), random(3)

    def loss(x):
        return jnp.sum(jnp.sin(normalize_batch(x, scale, bias, 1e-3, None, None, scale)[0]))

    twice = jax.vmap(jax.grad(lambda x: jnp.sum(jax.grad(loss)(x) ** 2)))
    close(jax.jit(for_cpu(twice))(x), jax.jit(twice)(x))


@pytest.mark.parametrize("shape", [(3, 1024), (2, 5, 1024), (1024,)])
def test_product_with_a_large_matrix(shape):
    x, kernel = random(*shape), random(1024, 1100)
    check(multiply, x, kernel)
    expected = np.asarray(x, float) @ np.asarray(kernel)
    np.testing.assert_allclose(for_cpu(multiply)(x, kernel), expected, atol=1e-3)
    assert for_cpu(multiply)(random(0, 1024), kernel).shape == (0, 1100)


def test_products_differentiated_twice_and_mapped():
    x, kernel = random(4, 2, 1024), random(1024, 1100)

    def slopes(x, kernel):
        return jax.grad(lambda x: jnp.sum(multiply(x, kernel) ** 3))(x)

    check(lambda x, kernel: jax.vmap(slopes, (0, None))(x, kernel / 100), x, kernel)


BLOCKS = [
    ((32, 3136), 1024, 14),  # E4's
    ((127, 2048), 2048, 16),
    ((128, 2048), 2048, 1),  # many rows
    ((32, 512), 512, 1),  # a small matrix
    ((32, 1031), 1031, 1),  # a prime number of rows
]


@pytest.mark.parametrize("shape, features, count", BLOCKS)
def test_large_matrices_are_divided_for_small_batches(shape, features, count):
    assert dense.blocks(jnp.zeros(shape), jnp.zeros((shape[-1], features))) == count
