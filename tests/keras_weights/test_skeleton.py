"""A module written from a Keras file loads its weights and gives Keras's outputs; no file makes code of its own."""

import ast
import json
import zipfile

import jax
import keras
import numpy as np
import pytest
from keras import layers as kl
from keras_pairs import random_model

from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras, make_skeleton
from jaxnets.keras_weights.skeleton.activations import CODE, as_function
from jaxnets.keras_weights.weightless import ACTIVATIONS, ALL_ACTIVATIONS

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
    pytest.mark.filterwarnings("ignore:.*structure of `inputs`.*"),
]


def module_of(source):
    """The module in a skeleton, and the skeleton."""
    skeleton = make_skeleton(source)
    names = {}
    exec(compile(skeleton.text, "net.py", "exec"), names)
    return names["Net"](), skeleton


def inputs_for(model, rng):
    def array(tensor):
        shape = (2, *(side or 5 for side in tensor.shape[1:]))
        return (
            rng.integers(0, 9, shape).astype("f") if len(shape) == 2 else rng.normal(size=shape).astype("f")
        )

    return jax.tree.map(array, model.inputs[0] if isinstance(model, keras.Sequential) else model.input)


def assert_same(model, tmp_path, endings=(".keras", ".h5"), rename=False):
    """The module that is written of a model gives its outputs, from every file of it."""
    x = inputs_for(model, np.random.default_rng(0))
    with jax.numpy_rank_promotion("allow"):
        expected = jax.tree.leaves(model(x, training=False))
    for ending in endings:
        path = tmp_path / f"model{ending}"
        model.save(path)
        net, skeleton = module_of(path)
        assert skeleton.missing == [] and bool(skeleton.rename) == rename
        variables = from_keras(path, net, rename=skeleton.rename)
        arguments = tuple(x) if isinstance(x, list) else (x,)
        with jax.numpy_rank_promotion("allow"):
            found = jax.tree.leaves(net.apply(variables, *arguments))
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            largest = max(1.0, np.abs(other).max())
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * largest)


def images(*layers, shape=(13, 12, 3)):
    return lambda: keras.Sequential([keras.Input(shape), *(layer() for layer in layers)])


CHAINS = {
    "plain": images(
        lambda: kl.Rescaling(1 / 127.5, offset=-1),
        lambda: kl.ZeroPadding2D(((1, 2), (0, 3))),
        lambda: kl.Conv2D(4, (3, 2), (2, 1), padding="same", activation="relu", use_bias=False),
        lambda: kl.BatchNormalization(epsilon=0.1, momentum=0.9),
        lambda: kl.LeakyReLU(0.1),
        lambda: kl.SpatialDropout2D(0.3),
        lambda: kl.AveragePooling2D(2, 1, padding="same"),
        lambda: kl.Cropping2D(((1, 0), (2, 1))),
        lambda: kl.UpSampling2D((2, 1)),
        lambda: kl.GaussianNoise(0.2),
        lambda: kl.ReLU(max_value=4.0, negative_slope=0.1),
        lambda: kl.GlobalAveragePooling2D(keepdims=True),
        lambda: kl.Flatten(),
        lambda: kl.Dropout(0.5),
        lambda: kl.Dense(6, activation="gelu"),
        lambda: kl.Reshape((3, -1)),
        lambda: kl.Permute((2, 1)),
        lambda: kl.Flatten(),
        lambda: kl.RepeatVector(2),
        lambda: kl.Softmax(),
    ),
    "convolutions": images(
        lambda: kl.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="silu"),
        lambda: kl.SeparableConv2D(4, 3, strides=2, activation=keras.layers.ReLU(6.0)),
        lambda: kl.BatchNormalization(scale=False),
        lambda: kl.Conv2D(4, 2, dilation_rate=2, activation="hard_sigmoid"),
        lambda: kl.BatchNormalization(center=False, axis=3),
        lambda: kl.Conv2DTranspose(6, 3, strides=2, padding="same", activation="softplus"),
        lambda: kl.Conv2D(6, 1, groups=2, activation="mish"),
        lambda: kl.GroupNormalization(3),
        lambda: kl.GroupNormalization(-1),
        lambda: kl.UpSampling2D(2, interpolation="bilinear"),
        lambda: kl.LayerNormalization(),
        lambda: kl.GaussianDropout(0.3),
        lambda: kl.ELU(0.5),
        lambda: kl.GlobalMaxPooling2D(),
    ),
    "series": images(
        lambda: kl.Conv1D(4, 3, padding="causal", activation="tanh"),
        lambda: kl.MaxPooling1D(2, padding="same"),
        lambda: kl.ZeroPadding1D((1, 2)),
        lambda: kl.Cropping1D(1),
        lambda: kl.UpSampling1D(2),
        lambda: kl.Conv1D(4, 2, dilation_rate=2),
        lambda: kl.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid", dropout=0.2),
        lambda: kl.TimeDistributed(kl.Dense(5, activation="relu")),
        lambda: kl.Bidirectional(kl.GRU(3, return_sequences=True), merge_mode="sum"),
        lambda: kl.SimpleRNN(4, return_sequences=True, go_backwards=True, activation="relu"),
        lambda: kl.Bidirectional(kl.LSTM(3)),
        lambda: kl.Dense(2, activation="softmax"),
        shape=(9, 3),
    ),
    "volumes": images(
        lambda: kl.Conv3D(3, 2, activation="selu"),
        lambda: kl.MaxPooling3D(2),
        lambda: kl.GlobalAveragePooling3D(),
        shape=(6, 5, 6, 2),
    ),
    "frames": images(
        lambda: kl.TimeDistributed(kl.Conv2D(3, 3, activation="relu")),
        lambda: kl.TimeDistributed(kl.MaxPooling2D(2)),
        lambda: kl.TimeDistributed(kl.Flatten()),
        lambda: kl.GRU(3, reset_after=False),
        shape=(4, 7, 7, 1),
    ),
    "words": lambda: keras.Sequential(
        [keras.Input((6,)), kl.Embedding(11, 4), kl.GlobalAveragePooling1D(), kl.Dense(2, name="class")]
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_computes_what_it_does_in_keras(name, tmp_path):
    assert_same(random_model(CHAINS[name]), tmp_path)


def shared_and_several_outputs():
    """Two inputs, an encoder and a layer that are called twice, and two outputs."""
    inside = keras.Input((8,))
    h = kl.Dense(5, activation="tanh", name="in")(inside)
    encoder = keras.Model(
        inside, [kl.Dense(4, name="mean")(h), kl.Dense(4, name="spread")(h)], name="encoder"
    )
    one, two = keras.Input((8,), name="one"), keras.Input((8,), name="two")
    (a, b), (c, _) = encoder(one), encoder(two)
    both = kl.Dense(3, name="shared")
    merged = kl.Concatenate()([both(a), both(c), kl.Multiply()([a, c])])
    merged = kl.Average()([merged, kl.Dense(10, name="again")(merged)])
    return keras.Model([one, two], [kl.Dense(2, name="first")(merged), kl.Maximum()([a, b])])


def dictionaries():
    """Dicts go in and come out, in an order that is not that of the alphabet; inside, too."""
    y, x = keras.Input((4,), name="y"), keras.Input((6,), name="x")
    inner = keras.Model({"y": y, "x": x}, {"two": kl.Dense(3)(y), "one": kl.Dense(3)(x)}, name="inner")
    first, second = keras.Input((6,), name="zeta"), keras.Input((4,), name="alpha")
    out = inner({"x": first, "y": second})
    return keras.Model(
        {"zeta": first, "alpha": second}, {"sum": kl.Dense(2)(out["one"]), "rest": kl.Dense(2)(out["two"])}
    )


def residual():
    x = start = keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3, padding="same")(x)
    skip = kl.MaxPooling2D(2)(x)
    for _ in range(2):
        y = kl.Conv2D(4, 3, padding="same", use_bias=False)(x)
        y = kl.ReLU()(kl.BatchNormalization()(y))
        x = kl.Activation("relu")(kl.Add()([x, kl.Conv2D(4, 1)(y)]))
    x = kl.UpSampling2D(2)(kl.Subtract()([kl.MaxPooling2D(2)(x), skip]))
    return keras.Model(start, kl.Concatenate()([x, kl.Conv2D(2, 1)(start)]))


def frozen_backbone():
    """A backbone called with training=False, operators, and a sequential model in a functional one."""
    inside = keras.Input((6, 6, 3))
    base = keras.Model(inside, kl.BatchNormalization()(kl.Conv2D(4, 3)(inside)), name="base")
    start = keras.Input((6, 6, 3))
    x = kl.GlobalAveragePooling2D()(base(start / 2.0 + 1.0, training=False))
    head = keras.Sequential([keras.Input((4,)), kl.Dropout(0.5), kl.Dense(3, "relu")], name="head")
    y = head(x)
    return keras.Model(start, kl.Dense(2)(y * 2.0 - kl.Dense(3)(x)))


def attention():
    start = keras.Input((5, 8))
    x = kl.MultiHeadAttention(2, 4, dropout=0.1)(start, start)
    x = kl.LayerNormalization(epsilon=1e-6)(kl.Add()([start, x]))
    return keras.Model(start, kl.MultiHeadAttention(2, 3, output_shape=6, use_bias=False)(x, start, x))


GRAPHS = [shared_and_several_outputs, dictionaries, residual, frozen_backbone, attention]


@pytest.mark.parametrize("make", GRAPHS)
def test_a_graph_computes_what_it_does_in_keras(make, tmp_path):
    assert_same(random_model(make), tmp_path)
