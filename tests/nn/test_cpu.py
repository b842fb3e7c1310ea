"""The formulations for CPUs beside the plain ones: values and gradients over shapes, strides, paddings."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.nn.cpu import bernoulli, columns, convolution, dense, multiply, pointwise, winograd
from jaxnets.nn.norm import normalize_batch

RNG = np.random.default_rng(0)


def random(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def close(got, expected, tolerance=1e-5):
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(np.shape, tree) for tree in (got, expected)))
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        ours, theirs = (np.nan_to_num(np.asarray(v, np.float64), neginf=-1) for v in (ours, theirs))
        assert np.max(np.abs(ours - theirs)) <= tolerance * max(np.max(np.abs(theirs)), 1e-3)


def value_and_gradients(function, *arguments):
    """The function's value, and its gradients under random cotangents."""
    value, pull = jax.vjp(function, *arguments)
    weights = np.random.default_rng(1).normal(size=value.shape)
    return value, pull(jnp.asarray(weights, value.dtype))


def check(function, *arguments, tolerance=1e-5):
    # Compiled afresh on each side: a trace of the one must not serve the other.
    got = jax.jit(lambda *a: value_and_gradients(function, *a))(*arguments)
    with nn.plain_operations():
        expected = jax.jit(lambda *a: value_and_gradients(function, *a))(*arguments)
    close(got, expected, tolerance)


PADDINGS = ["valid", "same", ((2, 1), (0, 3))]
# To few features (shifts, columns; bands in the gradient), to many (pieces; columns in the gradient), 1x1.
KERNELS = [
    (3, 3, 2, 5),
    (3, 2, 3, 20),
    (5, 5, 1, 6),
    (5, 3, 4, 6),
    (3, 3, 17, 18),
    (3, 3, 18, 32),
    (1, 1, 4, 6),
    (1, 1, 64, 70),
    (1, 1, 70, 64),
]
CONVOLUTIONS = list(itertools.product(KERNELS, [1, 2, (1, 3)], PADDINGS))


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(convolution, "PIECE", 1500)
    monkeypatch.setattr(convolution, "FEW_PIECES", 3)
    monkeypatch.setattr(pointwise, "MANY", 16)


@pytest.mark.parametrize("kernel, strides, padding", CONVOLUTIONS)
def test_convolution(kernel, strides, padding, small_pieces):
    apply = partial(nn.correlate, strides=strides, padding=padding)
    check(apply, random(2, 9, 8, kernel[2]), random(*kernel))


@pytest.fixture
def always_tiles(monkeypatch):
    monkeypatch.setattr(winograd, "PRODUCTS", 0)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(9, 8), (6, 6), (5, 3)])
def test_convolution_of_tiles(size, padding, always_tiles):
    check(partial(nn.correlate, padding=padding), random(2, *size, 20), random(3, 3, 20, 17))


def test_tiles_are_taken_where_they_pay():
    def pays(batch, side, channels, features, size=3, strides=(1, 1)):
        kernel = jnp.zeros((size, size, channels, features))
        return winograd.pays(jnp.zeros((batch, side, side, channels)), kernel, strides, ((1, 1), (1, 1)))

    assert pays(32, 8, 256, 256)
    assert pays(32, 16, 64, 128)
    assert not pays(32, 32, 64, 64)  # as much work in the tiles as is saved
    assert not pays(1, 4, 512, 512)  # the kernel's tiles for four of the image
    assert not pays(32, 8, 256, 256, size=5)
    assert not pays(32, 8, 256, 256, strides=(2, 2))


COLUMNS = [
    ((5, 5, 3, 6), 6),  # 33 features or more
    ((5, 5, 6, 16), 2),
    ((3, 3, 16, 16), 2),
    ((3, 3, 3, 16), 3),
    ((3, 3, 3, 32), 2),
    ((3, 3, 1, 32), 1),
    ((3, 3, 16, 32), 1),
    ((3, 1, 16, 16), 1),  # a column sees nothing of what its neighbours see
]


@pytest.mark.parametrize("kernel, count", COLUMNS)
def test_columns_are_taken_together_where_features_are_few(kernel, count):
    assert columns.at_once(jnp.zeros(kernel)) == count


FLAT = [(kernel, 48) for kernel, _ in COLUMNS]
FLAT += [((1, 1, 64, 70), 48), ((5, 5, 1, 6), 48), ((3, 3, 3, 64), 48), ((3, 3, 96, 128), 0)]  # 0: by tiles


@pytest.mark.parametrize("kernel, products", FLAT)
@pytest.mark.parametrize("varies", [(1, 1), (14, 1), (1, 13)])
def test_on_flat_ground_all_outputs_are_equal(kernel, products, varies, monkeypatch):
    """To the bit: which of equals max pooling takes must not depend on rounding."""
    monkeypatch.setattr(winograd, "PRODUCTS", products)
    image = random(1, *varies, kernel[2])
    flat = jnp.broadcast_to(image, (4, 14, 13, kernel[2]))
    y = np.asarray(jax.jit(nn.correlate)(flat, random(*kernel)))
    first = y[:1, : y.shape[1] if varies[0] > 1 else 1, : y.shape[2] if varies[1] > 1 else 1]
    np.testing.assert_array_equal(y, np.broadcast_to(first, y.shape))


@pytest.mark.parametrize("strides, padding", [(1, "same"), (2, "same"), ((1, 3), ((2, 1), (0, 3)))])
def test_images_smaller_than_the_kernel(strides, padding):
    apply = partial(nn.correlate, strides=strides, padding=padding)
    check(apply, random(2, 2, 2, 17), random(3, 4, 17, 18))


@pytest.mark.parametrize(
    "kernel, special",
    [
        ((3, 3, 2, 5), "small_pieces"),
        ((1, 1, 64, 70), "small_pieces"),
        ((3, 3, 17, 18), "small_pieces"),
        ((3, 3, 17, 18), "always_tiles"),
    ],
)
def test_derivatives_of_derivatives_and_maps(kernel, special, request):
    request.getfixturevalue(special)

    def norm_of_gradients(x, kernel):
        grads = jax.grad(lambda *a: jnp.sum(jnp.sin(nn.correlate(*a))), (0, 1))(x, kernel)
        return sum(jnp.sum(jnp.square(grad)) for grad in grads).reshape(1)

    check(norm_of_gradients, random(2, 6, 6, kernel[2]), random(*kernel), tolerance=1e-4)
    check(jax.vmap(nn.correlate), random(2, 2, 6, 6, kernel[2]), random(2, *kernel))


DEPTHWISE = list(itertools.product([(3, 3), (2, 5)], [1, 2], PADDINGS))


@pytest.mark.parametrize("kernel, strides, padding", DEPTHWISE)
def test_depthwise_convolution(kernel, strides, padding):
    apply = partial(nn.correlate, strides=strides, padding=padding, groups=4)
    check(apply, random(3, 7, 8, 4), random(*kernel, 1, 4))


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
def test_recurrence(name, sequences, batch, time):
    apply, params = recurrent(name, return_sequences=sequences)
    check(apply, random(batch, time, 4), params)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrence_differentiated_twice_and_mapped(name):
    apply, params = recurrent(name, return_sequences=True)

    def norm_of_gradients(x, params):
        grads = jax.grad(lambda *a: jnp.sum(jnp.sin(apply(*a))), (0, 1))(x, params)
        return sum(jnp.sum(jnp.square(grad)) for grad in jax.tree.leaves(grads)).reshape(1)

    check(norm_of_gradients, random(2, 4, 4), params)
    check(jax.vmap(apply, (0, None)), random(2, 3, 4, 4), params)


@pytest.mark.parametrize("shape", [(3,), (2, 5, 7)])
@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey, partial(jax.random.key, impl="rbg")])
def test_masks_have_the_bits_of_jax(make, shape):
    for seed in range(20):
        key = make(seed)
        got = bernoulli(key, 0.3, shape)
        np.testing.assert_array_equal(got, jax.random.bernoulli(key, 0.3, shape))
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(0), seed))(jnp.arange(4))
    mapped = jax.vmap(lambda key: bernoulli(key, 0.3, shape))(keys)
    expected = jax.vmap(lambda key: jax.random.bernoulli(key, 0.3, shape))(keys)
    np.testing.assert_array_equal(mapped, expected)


def test_forward_mode_goes_the_plain_way():
    x, kernel = random(1, 5, 5, 2), random(3, 3, 2, 3)
    with nn.plain_operations():
        value, tangent = jax.jvp(partial(nn.correlate, x), (kernel,), (kernel,))
    close(tangent, value)  # linear


POOLS = list(itertools.product([2, 3, (3, 2)], [None, 1, 2, (1, 3)], PADDINGS))


@pytest.mark.parametrize("window, strides, padding", POOLS)
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
        with nn.plain_operations():
            expected = nn.max_pool(x, 2, padding="same")
        got = nn.max_pool(x, 2, padding="same")
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == dtype
    assert jnp.isnan(nn.max_pool(jnp.array([1.0, jnp.nan, 3, 2]).reshape(1, 2, 2, 1), 2)).all()


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (4, 8, 6, 70), (4, 5, 3), (4, 3)])
@pytest.mark.parametrize("mask", [None, (1.0, 1, 0, 1)])
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
        return jnp.sum(jnp.sin(normalize_batch(x, scale, bias, 1e-3, None)[0]))

    twice = jax.vmap(jax.grad(lambda x: jnp.sum(jax.grad(loss)(x) ** 2)))
    got = twice(x)
    with nn.plain_operations():
        close(got, twice(x))


@pytest.mark.parametrize("shape", [(3, 1024), (2, 5, 1024), (1024,)])
def test_product_with_a_large_matrix(shape):
    x, kernel = random(*shape), random(1024, 1100)
    check(multiply, x, kernel)
    np.testing.assert_allclose(multiply(x, kernel), np.asarray(x, float) @ np.asarray(kernel), atol=1e-3)
    assert multiply(random(0, 1024), kernel).shape == (0, 1100)


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


def test_bias():
    check(
        nn.Conv(5, 3).apply, {"params": {"kernel": random(3, 3, 2, 5), "bias": random(5)}}, random(2, 6, 6, 2)
    )


def test_other_types_are_left_to_xla():
    for dtype in (jnp.bfloat16, jnp.float16):
        x, kernel = random(1, 5, 5, 2).astype(dtype), random(3, 3, 2, 3).astype(dtype)
        assert "custom_vjp" not in str(jax.make_jaxpr(nn.correlate)(x, kernel))
        assert nn.correlate(x, kernel).dtype == dtype
    assert "custom_vjp" in str(jax.make_jaxpr(nn.correlate)(random(1, 5, 5, 2), random(3, 3, 2, 3)))
