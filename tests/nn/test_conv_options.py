"""Convolutions beside Keras's: dilation, groups, sequences, volumes, transposed, with gradients."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError
from tests.nn.beside_keras import check

L = keras.layers
SEQUENCE, IMAGE, VOLUME = (2, 9, 4), (2, 8, 7, 4), (2, 5, 6, 4, 2)
CASES = {
    "1D": (L.Conv1D(6, 3, 2, "same"), nn.Conv(6, (3,), 2, "same"), SEQUENCE),
    "1D, causal": (
        L.Conv1D(6, 3, padding="causal", dilation_rate=2),
        nn.Conv(6, (3,), padding="causal", dilation=2),
        SEQUENCE,
    ),
    "1D, causal, strides": (
        L.Conv1D(6, 3, 2, padding="causal", groups=2),
        nn.Conv(6, (3,), 2, padding="causal", groups=2),
        SEQUENCE,
    ),
    "3D": (L.Conv3D(6, (2, 3, 2), 2, "same"), nn.Conv(6, (2, 3, 2), 2, "same"), VOLUME),
    "3D, groups, dilation": (
        L.Conv3D(6, 2, dilation_rate=2, groups=2),
        nn.Conv(6, (2, 2, 2), dilation=2, groups=2),
        VOLUME,
    ),
    "dilation": (
        L.Conv2D(6, 3, padding="same", dilation_rate=(1, 2), activation="relu"),
        nn.Conv(6, 3, padding="same", dilation=(1, 2), activation="relu"),
        IMAGE,
    ),
    "dilation, groups": (
        L.Conv2D(6, 3, dilation_rate=2, groups=2, activation="silu"),
        nn.Conv(6, 3, dilation=2, groups=2, activation="silu"),
        IMAGE,
    ),
    "depthwise 1D": (
        L.DepthwiseConv1D(3, 2, "same", depth_multiplier=2),
        nn.DepthwiseConv((3,), 2, "same", multiplier=2),
        SEQUENCE,
    ),
    "depthwise, dilation": (
        L.DepthwiseConv2D(3, dilation_rate=2, activation="tanh"),
        nn.DepthwiseConv(3, dilation=2, activation="tanh"),
        IMAGE,
    ),
    "separable 1D": (
        L.SeparableConv1D(6, 3, 2, "same", depth_multiplier=2),
        nn.SeparableConv(6, (3,), 2, "same", multiplier=2),
        SEQUENCE,
    ),
    "separable, dilation": (
        L.SeparableConv2D(6, 3, dilation_rate=2, activation="elu"),
        nn.SeparableConv(6, 3, dilation=2, activation="elu"),
        IMAGE,
    ),
    "transposed 1D": (
        L.Conv1DTranspose(5, 3, 2, "same"),
        nn.ConvTranspose(5, (3,), 2, "same"),
        SEQUENCE,
    ),
    "transposed 3D": (
        L.Conv3DTranspose(5, 3, 2, output_padding=1),
        nn.ConvTranspose(5, (3, 3, 3), 2, output_padding=1),
        VOLUME,
    ),
    "transposed, output padding": (
        L.Conv2DTranspose(5, (3, 4), (2, 3), "same", output_padding=(0, 2), activation="gelu"),
        nn.ConvTranspose(5, (3, 4), (2, 3), "same", output_padding=(0, 2), activation="gelu"),
        IMAGE,
    ),
    "transposed, dilation": (
        L.Conv2DTranspose(5, 3, padding="same", dilation_rate=(2, 3)),
        nn.ConvTranspose(5, 3, padding="same", dilation=(2, 3)),
        IMAGE,
    ),
}
OFTEN = ["1D, causal", "3D, groups, dilation", "depthwise 1D", "transposed, output padding"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in CASES]
)
def test_equals_keras(name):
    theirs, ours, shape = CASES[name]
    check(theirs, ours, np.random.default_rng(0).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_sizes_of_transposed_convolutions_are_keras_sizes(size, stride):
    for padding in ("valid", "same"):
        for more in (None, *range(stride)):
            for dilation in (1, 2) if stride == 1 else (1,):
                theirs = L.Conv1DTranspose(2, size, stride, padding, more, dilation_rate=dilation)
                ours = nn.ConvTranspose(2, (size,), stride, padding, output_padding=more, dilation=dilation)
                found, _ = jax.eval_shape(ours.init_with_output, jax.random.key(0), SHAPE)
                assert found.shape == tuple(theirs.compute_output_shape(SHAPE.shape))


SHAPE = jax.ShapeDtypeStruct((2, 5, 3), jnp.float32)


@pytest.mark.slow
def test_a_dilated_kernel_is_one_with_gaps():
    """Also with strides, which Keras refuses beside a dilation."""
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((2, 9, 8, 3), (3, 2, 3, 4)))
    with_gaps = jnp.zeros((5, 4, 3, 4)).at[::2, ::3].set(kernel)
    for how in ({"strides": 2}, {"padding": "same", "strides": (1, 2)}, {"padding": ((1, 2), (0, 3))}):
        found = nn.correlate(x, kernel, dilation=(2, 3), **how)
        np.testing.assert_allclose(found, nn.correlate(x, with_gaps, **how), rtol=1e-5, atol=1e-5)
    found = nn.conv_transpose(x, kernel.swapaxes(2, 3), 2, dilation=(2, 3))
    expected = nn.conv_transpose(x, with_gaps.swapaxes(2, 3), 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_kernels_may_be_drawn_in_two_ways():
    layer = nn.SeparableConv(4, 3, depthwise_init="ones", pointwise_init="zeros")
    params = layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 2)))["params"]
    assert np.all(np.asarray(params["depthwise_kernel"]) == 1)
    assert np.all(np.asarray(params["pointwise_kernel"]) == 0)


@pytest.mark.parametrize("function", ["correlate", "max_pool", "avg_pool"])
def test_negative_padding_crops_and_has_a_gradient(function):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 6, 3)), jnp.float32)
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 3, 4)), jnp.float32)

    def apply(x, padding):
        if function == "correlate":
            return nn.correlate(x, kernel, 2, padding)
        return getattr(nn, function)(x, (2, 3), 2, padding)

    def cropped(x):
        return apply(x[:, 1:, :-2], ((0, 1), (2, 0)))

    found, pull = jax.vjp(lambda x: apply(x, [(-1, 1), (2, -2)]), x)
    expected, their_pull = jax.vjp(cropped, x)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pull(found)[0], their_pull(found)[0], rtol=1e-6, atol=1e-6)


def test_an_infinite_pixel_reaches_the_outputs_whose_windows_hold_it():
    x = jnp.zeros((1, 7, 7, 1)).at[0, 3, 3, 0].set(jnp.inf)
    y = np.asarray(nn.correlate(x, jnp.ones((3, 3, 1, 2)), padding="same"))
    assert np.sum(~np.isfinite(y)) == 9 * 2


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda: nn.Conv(2, (3, 3, 3, 3)), "it must have one, two or three dimensions"),
        (lambda: nn.Conv(2, (3, 3), (1, 1, 1)), "images take 2 numbers, for height, width, or one number"),
        (
            lambda: nn.Conv(2, (3,)),
            r"sequences must have shape \(batch, time, channels\), not",
        ),
        (lambda: nn.Conv(2, (3, 3, 3)), r"volumes must have shape \(batch, depth, height, width, channels\)"),
        (lambda: nn.Conv(2, 3, dilation=2), "a window of 5x5 does not fit into maps of 4x4"),
        (lambda: nn.Conv(2, 3, padding="causal"), "padding 'causal' is unknown"),
        (lambda: nn.Conv(2, 3, padding=((1, 1),)), "or 2 pairs of numbers"),
        (lambda: nn.Conv(2, 3, padding=2), "or 2 pairs of numbers"),
        (lambda: nn.Conv(3, 3, groups=2), "3 channels do not fit kernels of shape"),
        (lambda: nn.Conv(2, 3, activation="rleu"), "unknown activation 'rleu'"),
        (lambda: nn.ConvTranspose(2, 3, 2, output_padding=2), "output_padding 2: it must be at least 0"),
        (lambda: nn.ConvTranspose(2, 3, padding=((1, 1), (1, 1))), 'takes "valid" or "same"'),
    ],
)
def test_what_does_not_fit_is_the_users_error(function, message):
    x = jax.ShapeDtypeStruct((1, 4, 4, 3), jnp.float32)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda x: function().init(jax.random.key(0), x), x)
