"""Convolution layers beside Keras's, over a grid of kernels, strides and paddings, and by hand."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.course.simple_conv import SimpleConv
from jaxnets.errors import UserError
from tests.keras_random import random_weights

SIZES = [(1, 1), (3, 3), (3, 2)]
STRIDES = [(1, 1), (2, 2), (1, 3)]
GRID = list(itertools.product(SIZES, STRIDES, ["valid", "same"]))


def check(keras_layer: keras.Layer, module, names: dict[str, str], shape=(2, 7, 6, 4)) -> None:
    """The module with the weights of the Keras layer gives what that gives."""
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with jax.numpy_rank_promotion("allow"), random_weights(seed=1):
        expected = np.asarray(keras_layer(x))
    params = {names[weight.name]: weight.value for weight in keras_layer.weights}
    got = module.apply({"params": params}, x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


KERNEL_AND_BIAS = {"kernel": "kernel", "bias": "bias"}


@pytest.mark.parametrize("size, strides, padding", GRID)
def test_conv(size, strides, padding):
    theirs = keras.layers.Conv2D(6, size, strides, padding)
    check(theirs, nn.Conv(6, size, strides, padding), KERNEL_AND_BIAS)


def test_conv_in_groups_without_bias():
    theirs = keras.layers.Conv2D(6, 3, groups=2, use_bias=False)
    check(theirs, nn.Conv(6, 3, groups=2, use_bias=False), KERNEL_AND_BIAS)


def test_conv_with_explicit_padding_is_zero_padding_then_valid():
    pad = keras.layers.ZeroPadding2D(((3, 1), (0, 2)))
    conv = keras.layers.Conv2D(6, 3, 2)
    check(keras.Sequential([pad, conv]), nn.Conv(6, 3, 2, ((3, 1), (0, 2))), KERNEL_AND_BIAS)


@pytest.mark.parametrize("size, strides, padding", [(s, t, p) for s, t, p in GRID if t[0] == t[1]])
def test_depthwise_conv(size, strides, padding):
    theirs = keras.layers.DepthwiseConv2D(size, strides, padding, depth_multiplier=2)
    check(theirs, nn.DepthwiseConv(size, strides, padding, multiplier=2), KERNEL_AND_BIAS)


@pytest.mark.parametrize("strides, padding", list(itertools.product([1, 2], ["valid", "same"])))
def test_separable_conv(strides, padding):
    theirs = keras.layers.SeparableConv2D(6, 3, strides, padding, depth_multiplier=2)
    names = {"depthwise_kernel": "depthwise_kernel", "pointwise_kernel": "pointwise_kernel", "bias": "bias"}
    check(theirs, nn.SeparableConv(6, 3, strides, padding, multiplier=2), names)


@pytest.mark.parametrize("size, strides, padding", [*GRID, ((5, 5), 2, "same"), ((4, 4), 2, "same")])
def test_conv_transpose(size, strides, padding):
    theirs = keras.layers.Conv2DTranspose(5, size, strides, padding)
    check(theirs, nn.ConvTranspose(5, size, strides, padding), KERNEL_AND_BIAS)


@pytest.mark.parametrize("size, strides", list(itertools.product([1, 2, 3, (3, 2)], [1, 2, 3, (1, 3)])))
def test_conv_transpose_is_upsampling_with_zeros_and_correlation(size, strides):
    rng = np.random.default_rng(2)
    height, width = size if isinstance(size, tuple) else (size, size)
    x = jnp.asarray(rng.normal(size=(2, 5, 4, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(height, width, 2, 3)), jnp.float32)
    library = nn.conv_transpose(x, kernel, strides)
    by_hand = nn.conv_transpose_by_upsampling(x, kernel, strides)
    assert by_hand.shape == library.shape
    np.testing.assert_allclose(by_hand, library, rtol=1e-5, atol=1e-5)


def test_conv_transpose_has_the_documented_size():
    """F8: stride 2, 3x3, valid makes 449 of 224; the picture between has 451."""
    x, kernel = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 224, 224, 3), (3, 3, 5, 3)))
    assert jax.eval_shape(lambda *a: nn.conv_transpose(*a, 2), x, kernel).shape == (2, 449, 449, 5)
    assert jax.eval_shape(lambda *a: nn.conv_transpose_by_upsampling(*a, 2), x, kernel).shape == (
        2,
        449,
        449,
        5,
    )
    assert jax.eval_shape(lambda x: nn.upsample_with_zeros(x, 2, 3), x).shape == (2, 451, 451, 3)


def test_upsampling_with_zeros_by_hand():
    x = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    expected = np.zeros((5, 5))
    expected[1, 1], expected[1, 3], expected[3, 1], expected[3, 3] = 1, 2, 3, 4
    np.testing.assert_array_equal(nn.upsample_with_zeros(x, 2, 2)[0, :, :, 0], expected)


def test_correlate_gives_the_documented_output():
    """E3: the 7x7 image, 3x3 kernel and bias of 1, and the output the document prints."""
    image = """0 0 0 0 0 0 0  0 1 0 1 2 1 0  0 0 2 2 0 1 0  0 1 1 0 2 1 0
               0 0 2 1 1 0 0  0 2 1 1 2 0 0  0 0 0 0 0 0 0"""
    image = jnp.array([float(v) for v in image.split()]).reshape(1, 7, 7, 1)
    kernel = jnp.array([0.0, 0, -1, 0, 1, 0, -2, 0, 2]).reshape(3, 3, 1, 1)
    expected = [[6, 5, -2, 1, 2], [3, 0, 3, 2, -2], [4, 2, -1, 0, 0], [2, 1, 2, -1, -3], [1, 1, 1, 3, 1]]
    np.testing.assert_array_equal(nn.correlate(image, kernel)[0, :, :, 0] + 1, expected)
    layer = nn.Conv(1, 3)
    np.testing.assert_array_equal(
        layer.apply({"params": {"kernel": kernel, "bias": jnp.ones(1)}}, image)[0, :, :, 0], expected
    )


def test_simple_conv_equals_the_library_layer():
    """E1: the layer written by hand, its start and its readable configuration."""
    ours = SimpleConv(6, (5, 3), (2, 1))
    names = {"kernel": "kernel", "bias": "bias"}
    check(keras.layers.Conv2D(6, (5, 3), (2, 1), activation="relu"), ours, names)
    config = {k: v for k, v in dataclasses.asdict(ours).items() if k not in ("name", "parent")}
    assert config == {"num_kernels": 6, "kernel_size": (5, 3), "strides": (2, 1), "use_bias": True}

    params = SimpleConv(500).init(jax.random.key(0), jnp.ones((1, 3, 3, 5)))["params"]
    limit = np.sqrt(6 / (9 * 5 + 9 * 500))
    assert 0.999 * limit < np.max(np.abs(params["kernel"])) <= limit
    assert abs(np.std(params["bias"]) - 0.05) < 0.005
    assert set(
        jax.eval_shape(SimpleConv(2, use_bias=False).init, jax.random.key(0), jnp.ones((1, 3, 3, 5)))[
            "params"
        ]
    ) == {"kernel"}


def test_what_does_not_fit_is_the_users_error():
    image, kernel = jnp.ones((1, 3, 4, 1)), jnp.ones((4, 4, 1, 1))
    with pytest.raises(UserError, match="padding 'full' is unknown"):
        nn.correlate(image, kernel[:2], padding="full")
    with pytest.raises(UserError, match="4x4 does not fit into maps of 3x4: the images are too small"):
        nn.correlate(image, kernel)
    with pytest.raises(UserError, match=r"\(batch, height, width, channels\), not \(3, 4, 1\)"):
        nn.max_pool(image[0], 2)
    assert nn.correlate(image, kernel, padding="same").shape == image.shape


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv(2, 3, dtype=jnp.bfloat16),
        nn.DepthwiseConv(3, dtype=jnp.bfloat16),
        nn.SeparableConv(2, 3, dtype=jnp.bfloat16),
        nn.ConvTranspose(2, 3, dtype=jnp.bfloat16),
        nn.Dense(2, dtype=jnp.bfloat16),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_bfloat16_keeps_float32_parameters(layer):

    rng = np.random.default_rng(0)
    x = rng.uniform(size=(1, 4, 4, 3)).astype(np.float32)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    variables = jax.tree.map(lambda leaf: rng.uniform(0, 0.2, leaf.shape).astype(np.float32), shapes)
    half, full = layer.apply(variables, x), layer.clone(dtype=None).apply(variables, x)

    assert half.dtype == jnp.bfloat16
    assert full.dtype == jnp.float32
    # Eight bits of mantissa: 2^-8 for each of the operands and the result.
    np.testing.assert_allclose(half.astype(jnp.float32), full, rtol=3 * 2**-8, atol=3 * 2**-8)
