"""A file or model that computes something else than the module is refused; what computes the same is not."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen
from keras import layers as kl
from keras_pairs import Net, random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]


class Case(NamedTuple):
    """A Keras model, what computes the same, what does not, and the words for the difference."""

    shape: tuple[int, ...]
    layers: Callable[[], list]
    same: Callable
    other: Callable
    words: str


def norm(x, **settings):
    return nn.BatchNorm(**settings)(x, False)


def dense_stack(activation):
    return lambda x: nn.Dense(2)(activation(nn.Dense(6)(x)))


def conv(make):
    return lambda x: nn.Dense(2)(nn.global_avg_pool(make(x)))


def recurrent(layer, before=lambda x: x):
    return lambda x: nn.Dense(2)(layer()(before(x)))


def both_ways(merge):
    def run(x):
        x = nn.Bidirectional(nn.LSTM(5, return_sequences=True), merge)(x)
        return nn.Dense(2)(nn.Bidirectional(nn.GRU(5), merge)(x))

    return run


def sequences(padding):
    def run(x):
        x = nn.Conv(6, (3,), padding=padding, dilation=2, activation="relu")(x)
        return nn.Dense(2)(nn.global_max_pool(nn.DepthwiseConv((2,))(x), rank=1))

    return run


def volumes(output_padding, activation):
    def run(x):
        x = nn.Conv(4, (2, 2, 2), activation=activation)(x)
        x = nn.ConvTranspose(3, (2, 2, 2), 2, output_padding=output_padding)(x)
        return nn.Dense(2)(nn.global_avg_pool(x, rank=3))

    return run


def pooled(pool):
    return lambda x: nn.Dense(2)(nn.flatten(pool(nn.Conv(4, 3)(x))))


def dense_activated(name, same, other, words):
    return Case(
        (5,),
        lambda: [kl.Dense(6, activation=name), kl.Dense(2)],
        dense_stack(same),
        dense_stack(other),
        words,
    )


IMAGE, SEQUENCE = (12, 12, 3), (7, 3)
LSTM, GRU = partial(nn.LSTM, 5), partial(nn.GRU, 5)
leaky = partial(jax.nn.leaky_relu, negative_slope=0.3)

CASES = {
    "relu": dense_activated(
        "relu", jax.nn.relu, jnp.tanh, r"dense.*: activation relu in Keras, tanh in Dense_1"
    ),
    "missing": dense_activated(
        "relu", jax.nn.relu, lambda x: x, "activation relu in Keras, linear in Dense_1"
    ),
    "added": dense_activated(None, lambda x: x, jax.nn.relu, "activation linear in Keras, relu in Dense_1"),
    "gelu": dense_activated(
        "gelu",
        partial(jax.nn.gelu, approximate=False),
        jax.nn.gelu,
        r"gelu in Keras, gelu\(approximate=True\) in",
    ),
    "elu": dense_activated("elu", jax.nn.elu, jax.nn.selu, "activation elu in Keras, selu in Dense_1"),
    "own": dense_activated(
        "relu", jax.nn.relu, jnp.sin, "Dense_0: relu of dense.* before it in Keras, something else"
    ),
    "leaky layer": Case(
        (5,),
        lambda: [kl.Dense(6), kl.LeakyReLU(), kl.Dense(2)],
        dense_stack(leaky),
        dense_stack(jax.nn.leaky_relu),
        r"leaky_re_lu.*: activation LeakyReLU in Keras, leaky_relu\(negative_slope=0.01\) in Net",
    ),
    "after normalization": Case(
        (5,),
        lambda: [kl.Dense(6), kl.BatchNormalization(), kl.Activation("relu"), kl.Dense(2)],
        dense_stack(lambda x: jax.nn.relu(norm(x))),
        dense_stack(lambda x: jax.nn.elu(norm(x))),
        "activation.*: activation relu in Keras, elu in Net",
    ),
    "last": Case(
        (5,),
        lambda: [kl.Dense(2, activation="tanh")],
        lambda x: jnp.tanh(nn.Dense(2)(x)),
        nn.Dense(2),
        "activation tanh in Keras, linear in",
    ),
    "probabilities": Case(
        (5,),
        lambda: [kl.Dense(2)],
        nn.Dense(2),
        lambda x: jax.nn.softmax(nn.Dense(2)(x)),
        "activation linear in Keras, softmax in",
    ),
    "epsilon": Case(
        IMAGE,
        lambda: [
            kl.Conv2D(4, 3),
            kl.BatchNormalization(epsilon=1.0),
            kl.GlobalAveragePooling2D(),
            kl.Dense(2),
        ],
        conv(lambda x: norm(nn.Conv(4, 3)(x), epsilon=1.0)),
        conv(lambda x: norm(nn.Conv(4, 3)(x))),
        "batch_normalization.*: epsilon 1.0 in Keras, 0.001 in BatchNorm_0",
    ),
    "epsilon of layers": Case(
        (5,),
        lambda: [kl.Dense(6), kl.LayerNormalization(epsilon=0.1), kl.Dense(2)],
        dense_stack(lambda x: linen.LayerNorm(epsilon=0.1)(x)),
        dense_stack(lambda x: linen.LayerNorm()(x)),
        "layer_normalization.*: epsilon 0.1 in Keras, 1e-06 in LayerNorm_0",
    ),
    "groups": Case(
        IMAGE,
        lambda: [kl.Conv2D(4, 3), kl.GroupNormalization(2), kl.GlobalAveragePooling2D(), kl.Dense(2)],
        conv(lambda x: linen.GroupNorm(2, epsilon=1e-3)(nn.Conv(4, 3)(x))),
        conv(lambda x: linen.GroupNorm(4, epsilon=1e-3)(nn.Conv(4, 3)(x))),
        "group_normalization.*: groups 2 in Keras, 4 in GroupNorm_0",
    ),
    "dilation": Case(
        IMAGE,
        lambda: [kl.Conv2D(4, 3, dilation_rate=2, padding="same"), kl.GlobalAveragePooling2D(), kl.Dense(2)],
        conv(lambda x: linen.Conv(4, (3, 3), kernel_dilation=2)(x)),
        conv(lambda x: nn.Conv(4, 3, padding="same")(x)),
        r"conv2d.*: dilation_rate \(2, 2\) in Keras, \(1, 1\) in Conv_0",
    ),
    "strides": Case(
        IMAGE,
        lambda: [kl.Conv2D(4, 3, strides=2), kl.GlobalAveragePooling2D(), kl.Dense(2)],
        conv(lambda x: nn.Conv(4, 3, strides=2)(x)),
        conv(lambda x: nn.Conv(4, 3)(x)),
        r"conv2d.*: strides \(2, 2\) in Keras, \(1, 1\) in Conv_0",
    ),
    "strides of depthwise": Case(
        IMAGE,
        lambda: [
            kl.SeparableConv2D(4, 3, strides=2, padding="same"),
            kl.GlobalAveragePooling2D(),
            kl.Dense(2),
        ],
        conv(lambda x: nn.SeparableConv(4, 3, strides=2, padding="same")(x)),
        conv(lambda x: nn.SeparableConv(4, 3, padding="same")(x)),
        r"separable_conv2d.*: strides \(2, 2\) in Keras, \(1, 1\) in SeparableConv_0",
    ),
    "padding": Case(
        IMAGE,
        lambda: [kl.Conv2D(4, 3, padding="same"), kl.GlobalAveragePooling2D(), kl.Dense(2)],
        conv(lambda x: nn.Conv(4, 3, padding=((1, 1), (1, 1)))(x)),
        conv(lambda x: nn.Conv(4, 3)(x)),
        "conv2d.*: padding same in Keras, valid in Conv_0",
    ),
    "padding of strides": Case(  # "same" pads behind only
        IMAGE,
        lambda: [kl.Conv2D(4, 3, strides=2, padding="same"), kl.GlobalAveragePooling2D(), kl.Dense(2)],
        conv(lambda x: nn.Conv(4, 3, strides=2)(jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))))),
        conv(lambda x: nn.Conv(4, 3, strides=2, padding=((1, 1), (1, 1)))(x)),
        r"conv2d.*: padding same in Keras, \(\(1, 1\), \(1, 1\)\) in Conv_0",
    ),
    "padding layer": Case(
        IMAGE,
        lambda: [kl.ZeroPadding2D(2), kl.Conv2D(4, 3), kl.GlobalAveragePooling2D(), kl.Dense(2)],
        conv(lambda x: nn.Conv(4, 3, padding=((2, 2), (2, 2)))(x)),
        conv(lambda x: nn.Conv(4, 3)(x)),
        r"zero_padding2d.*: layer ZeroPadding2D in Keras, none in Net",
    ),
    "transposed": Case(
        IMAGE,
        lambda: [kl.Conv2DTranspose(4, 3, padding="same"), kl.GlobalAveragePooling2D(), kl.Dense(2)],
        conv(lambda x: nn.ConvTranspose(4, 3, padding="same")(x)),
        conv(lambda x: nn.ConvTranspose(4, 3)(x)),
        "conv2d_transpose.*: padding same in Keras, valid in ConvTranspose_0",
    ),
    "pooling": Case(
        IMAGE,
        lambda: [kl.Conv2D(4, 3), kl.AveragePooling2D(2), kl.Flatten(), kl.Dense(2)],
        pooled(lambda x: nn.avg_pool(x, 2)),
        pooled(lambda x: nn.max_pool(x, 2)),
        "average_pooling2d.*: pooling average in Keras, max in Net",
    ),
    "order of axes": Case(
        IMAGE,
        lambda: [kl.Conv2D(4, 3), kl.Permute((2, 1, 3)), kl.Flatten(), kl.Dense(2)],
        pooled(lambda x: x.swapaxes(1, 2)),
        pooled(lambda x: x),
        "permute.*: layer Permute in Keras, none in Net",
    ),
    "data_format": Case(
        (4, 4, 4),
        lambda: [
            kl.Conv2D(4, 3, data_format="channels_first"),
            kl.GlobalAveragePooling2D("channels_first"),
            kl.Dense(2),
        ],
        conv(lambda x: nn.Conv(4, 3)(jnp.moveaxis(x, 1, -1))),
        conv(lambda x: nn.Conv(4, 3)(x)),
        "conv2d.*: data_format channels_first in Keras, channels_last in Conv_0",
    ),
    "gates": Case(
        SEQUENCE,
        lambda: [kl.LSTM(5, recurrent_activation="hard_sigmoid"), kl.Dense(2)],
        recurrent(partial(LSTM, recurrent_activation=jax.nn.hard_sigmoid)),
        recurrent(LSTM),
        "lstm.*: recurrent_activation hard_sigmoid in Keras, sigmoid in LSTM_0",
    ),
    "gates of GRU": Case(
        SEQUENCE,
        lambda: [kl.GRU(5, recurrent_activation="hard_sigmoid", reset_after=False), kl.Dense(2)],
        recurrent(partial(GRU, reset_after=False, recurrent_activation=jax.nn.hard_sigmoid)),
        recurrent(partial(GRU, reset_after=False, recurrent_activation=nn.hard_sigmoid_keras2)),
        "gru.*: recurrent_activation hard_sigmoid in Keras, hard_sigmoid of Keras 2 in GRU_0",
    ),
    "activation of cells": Case(
        SEQUENCE,
        lambda: [kl.SimpleRNN(5, activation="relu"), kl.Dense(2)],
        recurrent(partial(nn.SimpleRNN, 5, activation=jax.nn.relu)),
        recurrent(partial(nn.SimpleRNN, 5)),
        "simple_rnn.*: activation relu in Keras, tanh in SimpleRNN_0",
    ),
    "go_backwards": Case(
        SEQUENCE,
        lambda: [kl.LSTM(5, go_backwards=True), kl.Dense(2)],
        recurrent(LSTM, lambda x: x[:, ::-1]),
        recurrent(LSTM),
        "lstm.*: go_backwards True in Keras, False in LSTM_0",
    ),
    "own go_backwards": Case(
        SEQUENCE,
        lambda: [kl.LSTM(5, go_backwards=True, use_bias=False), kl.Dense(2)],
        recurrent(partial(LSTM, go_backwards=True, use_bias=False)),
        recurrent(partial(LSTM, use_bias=False)),
        "lstm.*: go_backwards True in Keras, False in LSTM_0",
    ),
    "no mask": Case(
        SEQUENCE,
        lambda: [kl.GRU(5, return_sequences=True, activation="relu"), kl.LSTM(5), kl.Dense(2)],
        lambda x: nn.Dense(2)(LSTM()(GRU(return_sequences=True, activation="relu")(x))),
        lambda x: nn.Dense(2)(LSTM()(GRU(return_sequences=True, activation="relu")(x), mask=x[..., 0] > 0)),
        "lstm.*: mask_zero False in Keras, True in LSTM_0",
    ),
    "our Bidirectional": Case(
        SEQUENCE,
        lambda: [
            kl.Bidirectional(kl.LSTM(5, return_sequences=True), merge_mode="sum"),
            kl.Bidirectional(kl.GRU(5), merge_mode="sum"),
            kl.Dense(2),
        ],
        both_ways("sum"),
        both_ways("ave"),
        "before it in Keras, something else in Net",
    ),
    "sequences": Case(
        SEQUENCE,
        lambda: [
            kl.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu"),
            kl.DepthwiseConv1D(2),
            kl.GlobalMaxPooling1D(),
            kl.Dense(2),
        ],
        sequences("causal"),
        sequences("same"),
        "conv1d.*: padding causal in Keras",
    ),
    "volumes": Case(
        (4, 5, 3, 2),
        lambda: [
            kl.Conv3D(4, 2, activation="gelu"),
            kl.Conv3DTranspose(3, 2, 2, output_padding=1),
            kl.GlobalAveragePooling3D(),
            kl.Dense(2),
        ],
        volumes(1, "gelu"),
        volumes(0, "gelu"),
        "conv3d_transpose.*: output_padding .* in Keras",
    ),
    "activation of a layer": Case(
        (5,),
        lambda: [kl.Dense(6, "silu"), kl.BatchNormalization(center=False), kl.Dense(2, "tanh")],
        lambda x: nn.Dense(2, activation="tanh")(norm(nn.Dense(6, activation="silu")(x), use_bias=False)),
        lambda x: nn.Dense(2, activation="tanh")(norm(nn.Dense(6, activation="elu")(x), use_bias=False)),
        "activation silu in Keras",
    ),
    "last step": Case(
        SEQUENCE,
        lambda: [kl.LSTM(5), kl.Dense(2)],
        lambda x: nn.Dense(2)(LSTM(return_sequences=True)(x)[:, -1]),
        lambda x: nn.Dense(2)(LSTM(return_sequences=True)(x)[:, -2]),
        "Dense_0: nothing before it in Keras, something else in Net",
    ),
    "mask_zero": Case(
        (6,),
        lambda: [kl.Embedding(9, 4, mask_zero=True), kl.Dropout(0.1), kl.LSTM(5), kl.Dense(2)],
        lambda x: nn.Dense(2)(LSTM()(nn.Embedding(9, 4)(x), mask=nn.embedding_mask(x))),
        lambda x: nn.Dense(2)(LSTM()(nn.Embedding(9, 4)(x))),
        "lstm.*: mask_zero True in Keras, False in LSTM_0",
    ),
    "directions": Case(
        SEQUENCE,
        lambda: [
            kl.Bidirectional(kl.LSTM(5, return_sequences=True), merge_mode="sum"),
            kl.GRU(5),
            kl.Dense(2),
        ],
        lambda x: nn.Dense(2)(GRU()(_both(x))),
        lambda x: nn.Dense(2)(GRU()(_both(x, lambda y: y))),
        "GRU_0: .* before it in Keras, something else",
    ),
}


def _both(x, back=lambda y: y[:, ::-1]):
    backward = LSTM(return_sequences=True, name="back")(x[:, ::-1])
    return LSTM(return_sequences=True, name="forth")(x) + back(backward)


def sources(model, path):
    """The model itself and its files that contain the configuration."""
    model.save(path / "model.keras")
    model.save(path / "model.h5")
    return model, path / "model.keras", path / "model.h5"


def outputs(model, x):
    with jax.numpy_rank_promotion("allow"):
        return np.asarray(model(x, training=False))


def refuse(name, source, model):
    """What differs is refused in one sentence, and really gives other outputs; what is the same is not."""
    case = CASES[name]
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 9, (4, *case.shape))
    x = ids if name == "mask_zero" else rng.normal(size=(4, *case.shape)).astype("f")
    expected, net = outputs(model, x), Net(case.other)
    if case.same is not None:
        right = Net(case.same)
        found = right.apply(from_keras(source, right), x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match=case.words) as error:
        from_keras(source, net)
    assert "\n" not in str(error.value)
    wrong = net.apply(from_keras(source, net, unchecked=True), x)
    assert np.abs(np.asarray(wrong) - expected).max() > 1e-4


def make(name):
    case = CASES[name]
    return random_model(lambda: keras.Sequential([keras.Input(case.shape), *case.layers()]))


@pytest.mark.parametrize(
    "name",
    ["relu", "after normalization", "epsilon", "dilation", "padding", "gates", "go_backwards", "mask_zero"],
)
@pytest.mark.sampled(3)
def test_what_differs_is_refused_and_named(name):
    model = make(name)
    refuse(name, model, model)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_difference_in_every_format(name, tmp_path):
    model = make(name)
    for source in sources(model, tmp_path):
        refuse(name, source, model)


def test_momentum_is_said_but_outputs_are_the_same():
    model = random_model(lambda: keras.Sequential([keras.Input((4,)), kl.BatchNormalization(momentum=0.5)]))
    with pytest.warns(
        UserWarning, match=r"training goes on otherwise .*: momentum 0.5 in Keras, 0.99 in BatchNorm_0"
    ):
        from_keras(model, Net(norm))


def test_the_hard_sigmoid_of_the_files_own_version(tmp_path):
    """Keras 3 computes another function by that name, on which the outputs of older files do not rest."""
    model = random_model(
        lambda: keras.Sequential([keras.Input(SEQUENCE), kl.LSTM(5, recurrent_activation="hard_sigmoid")])
    )
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file.attrs["keras_version"] = "2.2.4"
    old = Net(lambda x: LSTM(recurrent_activation=nn.hard_sigmoid_keras2)(x))
    new = Net(lambda x: LSTM(recurrent_activation=jax.nn.hard_sigmoid)(x))
    variables = from_keras(tmp_path / "model.h5", old)
    with pytest.raises(UserError, match="hard_sigmoid of Keras 2 in Keras, hard_sigmoid in LSTM_0"):
        from_keras(tmp_path / "model.h5", new)
    x = np.random.default_rng(0).normal(size=(4, *SEQUENCE)).astype("f")
    h, c = np.zeros((4, 5)), np.zeros((4, 5))
    kernel, recurrent, bias = (
        np.asarray(variables["params"]["LSTM_0"][k]) for k in ("kernel", "recurrent_kernel", "bias")
    )
    for step in range(SEQUENCE[0]):
        i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent + bias, 4, -1)
        i, f, o = (np.clip(0.2 * gate + 0.5, 0, 1) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    np.testing.assert_allclose(old.apply(variables, x), h, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(new.apply(variables, x), outputs(model, x), rtol=1e-4, atol=1e-6)


def test_images_with_channels_first():
    """A module that takes images as Linen does computes the same of the images moved."""

    def make():
        first = {"data_format": "channels_first"}
        return keras.Sequential(
            [
                keras.Input((3, 12, 10)),
                kl.Conv2D(4, 3, padding="same", activation="relu", **first),
                kl.BatchNormalization(axis=1),
                kl.MaxPooling2D(**first),
                kl.Flatten(**first),
                kl.Dense(2),
            ]
        )

    model = random_model(make)
    net = Net(pooled_after(lambda x: norm(jax.nn.relu(nn.Conv(4, 3, padding="same")(x)))))
    x = np.random.default_rng(0).normal(size=(2, 3, 12, 10)).astype("f")
    found = net.apply(from_keras(model, net), np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(found, outputs(model, x), rtol=1e-4, atol=1e-5)


def pooled_after(make):
    return lambda x: nn.Dense(2)(nn.flatten(nn.max_pool(make(x), 2)))


@keras.saving.register_keras_serializable("jaxnets_tests")
class DenseRelu(kl.Dense):
    """An activation inside, which its configuration does not say."""

    def call(self, x):
        return keras.ops.relu(super().call(x))


class LinenDenseRelu(linen.Module):
    @linen.compact
    def __call__(self, x):
        kernel = self.param("kernel", linen.initializers.ones, (x.shape[-1], 6))
        bias = self.param("bias", linen.initializers.zeros, (6,))
        return jax.nn.relu(x @ kernel + bias[None])


@pytest.mark.parametrize(
    "layers, body",
    {
        "Keras's layer is the user's": (lambda: [DenseRelu(6), kl.Dense(2)], dense_stack(jax.nn.relu)),
        "the module's is": (
            lambda: [kl.Dense(6, activation="relu"), kl.Dense(2)],
            lambda x: nn.Dense(2)(LinenDenseRelu()(x)),
        ),
        "a function between": (
            lambda: [kl.Dense(6), kl.Lambda(lambda x: keras.ops.sin(x)), kl.Dense(2)],
            dense_stack(jnp.sin),
        ),
        "scaled inputs": (
            lambda: [kl.Rescaling(0.1, 0.2), kl.Dense(6, activation="relu"), kl.Dense(2)],
            lambda x: dense_stack(jax.nn.relu)(x * 0.1 + 0.2),
        ),
        "probabilities": (lambda: [kl.Dense(2, "softmax")], lambda x: jax.nn.softmax(nn.Dense(2)(x))),
        "sigmoid": (
            lambda: [kl.Dense(2), kl.Activation("sigmoid")],
            lambda x: jax.nn.sigmoid(nn.Dense(2)(x)),
        ),
        "under jit": (
            lambda: [kl.Dense(6, activation="relu"), kl.Dense(2)],
            lambda x: nn.Dense(2)(linen.jit(Inner)()(x)),
        ),
        "recomputed": (
            lambda: [kl.Dense(6, activation="relu"), kl.Dense(2)],
            lambda x: nn.Dense(2)(linen.remat(Inner)()(x)),
        ),
    }.values(),
)
def test_what_cannot_be_known_is_not_refused(layers, body):
    model = random_model(lambda: keras.Sequential([keras.Input((5,)), *layers()]))
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("f")
    net = Net(body)
    np.testing.assert_allclose(net.apply(from_keras(model, net), x), outputs(model, x), rtol=1e-4, atol=1e-5)


class Inner(linen.Module):
    @linen.compact
    def __call__(self, x):
        return jax.nn.relu(nn.Dense(6)(x))


def test_logits_and_inputs_that_are_scaled_elsewhere():
    def make():
        return keras.Sequential([keras.Input((5,)), kl.Rescaling(1 / 255), kl.Dense(2, activation="softmax")])

    model = random_model(make)
    x = np.random.default_rng(0).uniform(0, 255, (4, 5)).astype("f")
    logits = nn.Dense(2).apply({"params": from_keras(model, Net(nn.Dense(2)))["params"]["body"]}, x / 255)
    np.testing.assert_allclose(jax.nn.softmax(logits), outputs(model, x), rtol=1e-4)
