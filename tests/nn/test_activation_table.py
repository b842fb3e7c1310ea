"""The activations by name, and with other slopes and bounds, beside Keras's."""

from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError

# Odd numbers of 32nds: no corner of an activation is among them.
X = (np.arange(-255, 256, 2) / 32).astype(np.float32).reshape(-1, 8)
K = keras.activations
ALL = {"negative_slope": 0.2, "max_value": 4.0, "threshold": 1.0}
CHANGED = {
    "relu, slope": (partial(nn.relu, negative_slope=0.1), partial(K.relu, negative_slope=0.1)),
    "relu, bound": (partial(nn.relu, max_value=3), partial(K.relu, max_value=3)),
    "relu, bound of 6": (partial(nn.relu, max_value=6), partial(K.relu, max_value=6)),
    "relu, threshold": (partial(nn.relu, threshold=1), partial(K.relu, threshold=1)),
    "relu, all": (partial(nn.relu, **ALL), partial(K.relu, **ALL)),
    "relu, negative": (
        partial(nn.relu, negative_slope=0.5, threshold=-1),
        partial(K.relu, negative_slope=0.5, threshold=-1),
    ),
    "leaky_relu, changed": (partial(nn.leaky_relu, negative_slope=0.3), keras.layers.LeakyReLU()),
    "elu, changed": (partial(nn.ACTIVATIONS["elu"], alpha=0.5), partial(K.elu, alpha=0.5)),
    "gelu, changed": (partial(nn.gelu, approximate=True), partial(K.gelu, approximate=True)),
    "softmax, changed": (partial(nn.ACTIVATIONS["softmax"], axis=0), partial(K.softmax, axis=0)),
    "soft_shrink, changed": (partial(nn.soft_shrink, threshold=2), partial(K.soft_shrink, threshold=2)),
    "hard_shrink, changed": (partial(nn.hard_shrink, threshold=2), partial(K.hard_shrink, threshold=2)),
}
PAIRS = {name: (function, K.get(name)) for name, function in nn.ACTIVATIONS.items()} | CHANGED


def values_and_slopes(functions):
    """All in one program, which compiles faster than many."""

    def both(x):
        found = {}
        for name, function in functions.items():
            y, pull = jax.vjp(lambda x, function=function: jnp.asarray(function(x)), x)
            found[name] = y, pull(jnp.cos(jnp.arange(y.size)).reshape(y.shape))
        return found

    return jax.jit(both)(X)


@pytest.mark.parametrize(
    "names", [CHANGED, pytest.param(nn.ACTIVATIONS, marks=pytest.mark.slow)], ids=["changed", "default"]
)
def test_values_and_slopes_are_keras_values_and_slopes(names):
    ours = values_and_slopes({name: PAIRS[name][0] for name in names})
    with jax.numpy_rank_promotion("allow"):
        theirs = values_and_slopes({name: PAIRS[name][1] for name in names})
    for name in names:
        for found, expected in zip(ours[name], theirs[name], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_every_activation_of_keras_is_here():
    """But `jnp.where`, and one whose outputs in Keras 3.15 do not add up to 1."""
    from keras.src.activations import ALL_OBJECTS_DICT

    assert set(ALL_OBJECTS_DICT) - set(nn.ACTIVATIONS) == {"sparsemax", "threshold"}


@pytest.mark.slow
def test_gradients_at_the_corners_are_keras_gradients():
    for name in ("relu", "leaky_relu", "relu6", "elu", "hard_sigmoid", "relu, bound"):
        ours, theirs = PAIRS[name]
        for corner in (0.0, 3.0, -3.0):
            assert jax.grad(ours)(corner) == jax.grad(theirs)(corner), name


def test_layers_take_an_activation_by_name_or_as_a_function():
    x = jnp.asarray(X[:2])
    plain = nn.Dense(3)
    params = {"params": {"kernel": jnp.asarray(X[:8, :3]), "bias": jnp.ones(3)}}
    expected = jax.nn.relu(plain.apply(params, x))
    for activation in ("relu", jax.nn.relu, nn.relu):
        np.testing.assert_array_equal(nn.Dense(3, activation=activation).apply(params, x), expected)
    with pytest.raises(UserError, match=r"unknown activation 'relue' \(did you mean relu"):
        nn.Dense(3, activation="relue").apply(params, x)
