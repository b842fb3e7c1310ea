"""Initializers with arguments, Keras's names of them, and shapes for which some have no meaning."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError

KEY = jax.random.key(0)
ARGUMENTS = [
    ("variance_scaling", {"scale": 3.0, "mode": mode, "distribution": distribution})
    for mode in ("fan_in", "fan_out", "fan_avg")
    for distribution in ("truncated_normal", "untruncated_normal", "uniform")
]
ARGUMENTS += [
    ("random_normal", {"mean": 2.0, "stddev": 0.5}),
    ("truncated_normal", {"mean": -1.0, "stddev": 0.5}),
    ("random_uniform", {"minval": 1.0, "maxval": 3.0}),
]


def theirs(name, arguments, shape):
    kind = keras.initializers.deserialize({"class_name": name, "config": arguments})
    return np.asarray(kind(shape))


@pytest.mark.parametrize("shape", [(20_000,), pytest.param((40, 500), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name, arguments", [pytest.param(*one, marks=pytest.mark.slow) for one in ARGUMENTS[:-3]] + ARGUMENTS[-3:]
)
def test_arguments_are_keras_arguments(name, arguments, shape):
    ours = np.asarray(nn.get_initializer(name, **arguments)(KEY, shape, jnp.float32))
    expected = theirs(name, arguments, shape)
    far = 5 * np.sqrt(2 / ours.size)  # as in the test of the defaults
    np.testing.assert_allclose(ours.std(), expected.std(), rtol=far)
    np.testing.assert_allclose(ours.mean(), expected.mean(), atol=far * expected.std())
    if name != "random_normal" and arguments.get("distribution") != "untruncated_normal":  # no long tail
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(expected).max(), rtol=0.05)


@pytest.mark.parametrize(
    "name, arguments, shape",
    [
        ("constant", {"value": 0.25}, (3, 2)),
        ("zeros", {}, (3,)),
        ("identity", {"gain": 2.0}, (3, 4)),
        ("identity", {}, (4, 3)),
        ("ones", {}, ()),
    ],
)
def test_what_is_not_drawn_equals_keras(name, arguments, shape):
    ours = nn.get_initializer(name, **arguments)(KEY, shape, jnp.float32)
    np.testing.assert_array_equal(ours, theirs(name, arguments, shape))


@pytest.mark.parametrize("shape", [(6, 4), pytest.param((4, 6), marks=pytest.mark.slow)])
def test_orthogonal_matrices_have_their_gain(shape):
    matrix = np.asarray(nn.get_initializer("orthogonal", gain=3.0)(KEY, shape, jnp.float32))
    product = matrix @ matrix.T if shape[0] < shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 9 * np.eye(4), atol=1e-4)


def test_names_are_those_of_keras():
    from keras.src.initializers import ALL_OBJECTS_DICT

    unknown = {"Initializer", "initializer", "STFT", "stft", "STFTInitializer"}
    for name, kind in ALL_OBJECTS_DICT.items():
        if name not in unknown:
            own = keras.src.utils.naming.to_snake_case(kind.__name__)
            assert nn.get_initializer(name) is nn.INITIALIZERS[own], name


def test_a_bias_may_have_any_initializer_of_vectors():
    x = jnp.ones((1, 3))
    for name in nn.INITIALIZERS:
        layer = nn.Dense(4, bias_init=name)
        if name in ("orthogonal", "identity"):
            with pytest.raises(UserError, match=rf"the initializer {name} makes .*\(4,\)"):
                jax.eval_shape(layer.init, KEY, x)
        else:
            assert jax.eval_shape(layer.init, KEY, x)["params"]["bias"].shape == (4,)
    limit = np.sqrt(6 / 8)  # fan-in and fan-out are both 4
    assert np.all(np.abs(nn.INITIALIZERS["glorot_uniform"](KEY, (4,))) <= limit)
    assert nn.INITIALIZERS["he_normal"](KEY, ()).shape == ()


def test_what_does_not_fit_is_the_users_error():
    for name, arguments, message in (
        ("constant", {"gain": 1}, "the initializer constant has no argument 'gain': it takes value"),
        ("zeros", {"value": 1}, "it takes no arguments"),
        ("variance_scaling", {"mode": "fan"}, "unknown mode 'fan'"),
        ("variance_scaling", {"scale": 0}, "it must be above 0"),
        ("GlorotNormale", {}, r"unknown initializer 'GlorotNormale'"),
    ):
        with pytest.raises(UserError, match=message):
            nn.get_initializer(name, **arguments)
