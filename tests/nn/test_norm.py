"""BatchNorm beside Keras's layer and NumPy: training, inference, masks, devices, frozen, bfloat16."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen

from jaxnets import nn
from jaxnets.errors import UserError
from tests.nn.beside_keras import check

X = np.random.default_rng(0).normal(1, 2, size=(6, 5, 4, 3)).astype(np.float32)
PARAMS = {"scale": jnp.array([1.0, 0.5, 2.0]), "bias": jnp.array([0.0, 1.0, -1.0])}
STATISTICS = {"mean": jnp.array([0.1, -0.2, 0.3]), "var": jnp.array([0.5, 1.0, 2.0])}
VARIABLES = {"params": PARAMS, "batch_stats": STATISTICS}


def train(layer, x, *args, **kwargs):
    y, updates = layer.apply(VARIABLES, x, *args, train=True, mutable=["batch_stats"], **kwargs)
    return y, updates["batch_stats"]


@pytest.mark.parametrize("constants", [{}, {"momentum": 0.9, "epsilon": 1.001e-5}])
@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (6, 3), (1, 5, 4, 3)])
def test_equals_keras(shape, constants):
    x = X.reshape(-1, 3)[: np.prod(shape[:-1])].reshape(shape)
    theirs = keras.layers.BatchNormalization(**constants)
    theirs.build(x.shape)
    theirs.set_weights([PARAMS["scale"], PARAMS["bias"], STATISTICS["mean"], STATISTICS["var"]])
    ours = nn.BatchNorm(**constants)
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(ours.apply(VARIABLES, x, train=False), theirs(x, training=False), **close)
    y, statistics = train(ours, x)
    np.testing.assert_allclose(y, theirs(x, training=True), **close)
    np.testing.assert_allclose(statistics["mean"], theirs.moving_mean, **close)
    np.testing.assert_allclose(statistics["var"], theirs.moving_variance, **close)


@pytest.mark.parametrize(
    "options, kwargs",
    [
        ({"axis": 1}, {}),
        ({"axis": -2, "use_scale": False}, {}),
        ({"use_bias": False}, {"mask": np.random.default_rng(3).random((6, 5, 4)) < 0.7}),
        ({"use_scale": False, "use_bias": False, "axis": 2}, {"mask": np.arange(6) < 4}),
    ],
)
def test_other_axes_masks_and_parts_equal_keras(options, kwargs):
    names = {"use_scale": "scale", "use_bias": "center", "axis": "axis"}
    their_kwargs = {
        key: np.broadcast_to(m.reshape(6, *m.shape[1:], *(1,) * (3 - m.ndim)), (6, 5, 4))
        for key, m in kwargs.items()
    }  # Keras wants all axes but the last
    if options.get("axis") == 2:
        their_kwargs = {key: m[:, :, [0] * 3] for key, m in their_kwargs.items()}
        x = X[:, :, :3]
    else:
        x = X
    theirs = keras.layers.BatchNormalization(**{names[key]: value for key, value in options.items()})
    check(theirs, BothOutputs(nn.BatchNorm(**options)), x, kwargs, {**their_kwargs, "training": True})


class BothOutputs:
    """The layer's training output as one function of parameters and x."""

    def __init__(self, layer):
        self.layer = layer

    def apply(self, variables, x, **kwargs):
        length = x.shape[self.layer.axis]
        statistics = {"mean": jnp.zeros(length), "var": jnp.ones(length)}
        variables = {**variables, "batch_stats": statistics}
        return self.layer.apply(variables, x, train=True, mutable=["batch_stats"], **kwargs)[0]


def test_a_mask_of_steps_is_as_if_these_were_not_there():
    """The network's own mask, within the train step's of examples."""
    x, mask = X.reshape(6, 20, 3), np.random.default_rng(4).random((6, 20)) < 0.6
    mask[4] = True
    with nn.batch_mask(jnp.arange(6) < 4):
        y, updates = jax.jit(lambda x, mask: train(nn.BatchNorm(), x, mask=mask))(
            np.where(mask[..., None], x, np.nan), mask
        )
    kept = x[:4][mask[:4]].astype(np.float64)
    expected = 0.99 * np.asarray(STATISTICS["var"]) + 0.01 * kept.var(0)
    np.testing.assert_allclose(updates["var"], expected, rtol=1e-5)
    normal = (kept - kept.mean(0, keepdims=True)) / np.sqrt(kept.var(0, keepdims=True) + 1e-3)
    normal = normal * np.asarray(PARAMS["scale"]) + np.asarray(PARAMS["bias"])
    np.testing.assert_allclose(y[:4][mask[:4]], normal, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_the_users_error():
    for options, kwargs, message in (
        ({"axis": 4}, {}, r"BatchNorm over axis 4: \(6, 5, 4, 3\) has no such axis"),
        ({}, {"mask": np.ones(5)}, r"a mask of shape \(5,\) does not fit \(6, 5, 4\)"),
        ({}, {"mask": np.ones((6, 5, 4, 3))}, "does not fit"),
    ):
        with pytest.raises(UserError, match=message):
            train(nn.BatchNorm(**options), X, **kwargs)


def test_by_hand():
    """Values 1 and 3: mean 2, plain variance 1; the running ones move by a hundredth of the way."""
    x = jnp.array([[1.0], [3.0]])
    layer = nn.BatchNorm(epsilon=3.0)
    variables = layer.init(jax.random.key(0), x, train=False)
    y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, [[-0.5], [0.5]])
    np.testing.assert_allclose(updates["batch_stats"]["mean"], [0.02], rtol=1e-5)
    np.testing.assert_allclose(updates["batch_stats"]["var"], [1.0], rtol=1e-5)
    np.testing.assert_allclose(layer.apply(variables, x, train=False), [[0.5], [1.5]])


def test_start_and_initialization_leave_the_statistics_alone():
    variables = nn.BatchNorm(axis_name="devices").init(jax.random.key(0), X, train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones(3))
    np.testing.assert_array_equal(variables["params"]["scale"], np.ones(3))
    np.testing.assert_array_equal(variables["params"]["bias"], np.zeros(3))


@pytest.mark.parametrize("padding", [0.0, np.nan])
def test_masked_examples_do_not_count(padding):
    layer = nn.BatchNorm()
    mask = jnp.array([1.0, 1, 0, 1, 0, 1])
    kept = np.flatnonzero(mask)
    x = X.copy()
    x[[2, 4]] = padding
    expected, expected_statistics = train(layer, X[kept])
    with nn.batch_mask(mask):
        y, statistics = train(layer, x)
    np.testing.assert_allclose(y[kept], expected, rtol=1e-5, atol=1e-6)
    for name in ("mean", "var"):
        np.testing.assert_allclose(statistics[name], expected_statistics[name], rtol=1e-6)
    np.testing.assert_array_equal(train(layer, x, mask=mask)[0], y)


def test_a_batch_of_padding_alone_stays_finite():
    y, statistics = train(nn.BatchNorm(), X, mask=jnp.zeros(6))
    assert all(np.all(np.isfinite(v)) for v in (y, *statistics.values()))


@pytest.mark.parametrize("mask", [None, [1.0, 1, 1, 1, 0, 1]])
def test_synchronised_statistics_are_those_of_the_whole_batch(mask):
    mask = None if mask is None else jnp.array(mask)
    layer = nn.BatchNorm()
    expected, expected_statistics = train(layer, X, mask=mask)

    def device(x, mask):
        return train(layer.clone(axis_name="devices"), x, mask=mask)

    def split(v):
        return None if v is None else v.reshape(3, 2, *v.shape[1:])

    y, statistics = jax.vmap(device, axis_name="devices")(split(X), split(mask))
    np.testing.assert_allclose(y.reshape(X.shape), expected, rtol=1e-5, atol=1e-5)
    for name in ("mean", "var"):
        for row in statistics[name]:
            np.testing.assert_allclose(row, expected_statistics[name], rtol=1e-6)


class TwoNorms(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        return nn.BatchNorm(name="head")(nn.BatchNorm(name="backbone")(x, train), train)


def test_a_frozen_layer_uses_and_keeps_its_statistics():
    model = TwoNorms()
    variables = {kind: {"backbone": tree, "head": tree} for kind, tree in VARIABLES.items()}
    with nn.frozen_batch_norm(lambda path: path[0] == "backbone"):
        y, updates = model.apply(variables, X, train=True, mutable=["batch_stats"])
    inner = nn.BatchNorm().apply(VARIABLES, X, train=False)
    expected, head = train(nn.BatchNorm(), inner)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(updates["batch_stats"]["backbone"]["mean"], STATISTICS["mean"])
    np.testing.assert_allclose(updates["batch_stats"]["head"]["var"], head["var"], rtol=1e-6)


def test_bfloat16_keeps_float32_statistics():
    """Far from zero, where the variance would drown in eight bits of mantissa."""
    x = jnp.asarray(X[..., :1] + 100, jnp.bfloat16)
    layer = nn.BatchNorm(dtype=jnp.bfloat16)
    variables = layer.init(jax.random.key(0), x, train=False)
    y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    exact = np.asarray(x, np.float64)
    assert y.dtype == jnp.bfloat16
    assert {v.dtype for v in jax.tree.leaves((variables, updates))} == {jnp.dtype("float32")}
    np.testing.assert_allclose(updates["batch_stats"]["var"], 0.99 + 0.01 * exact.var(), rtol=1e-5)
    normal = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-3)
    np.testing.assert_allclose(np.asarray(y, np.float64), normal, rtol=2**-8, atol=2**-8)


def test_a_jitted_function_sees_every_mask_and_every_choice_of_what_is_frozen():
    layer = nn.BatchNorm()
    jitted = jax.jit(lambda x: train(layer, x))
    masks = [jnp.arange(6) < count for count in (6, 2, 4)]
    expected = [train(layer, X, mask=mask) for mask in masks]
    for mask, (y, statistics) in zip(masks, expected, strict=True):
        with nn.batch_mask(mask):
            found = jitted(X)
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves((y, statistics)), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    with nn.frozen_batch_norm(lambda path: True):
        np.testing.assert_array_equal(jitted(X)[1]["mean"], STATISTICS["mean"])
    with nn.frozen_batch_norm(lambda path: False):
        np.testing.assert_allclose(jitted(X)[1]["mean"], expected[0][1]["mean"], rtol=1e-5)
