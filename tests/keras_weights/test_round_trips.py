"""What comes from Keras goes back to the bit, by live model and by file, and Keras loads what we write."""

import h5py
import jax
import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest
from flax import linen
from keras_pairs import PAIRS, Pair, random_model

from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras, save_keras_weights, to_keras
from jaxnets.models import MODELS
from tests.keras_twins import KERAS_MODELS

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]


def build(pair: Pair, seed: int):
    return random_model(pair.keras_model, seed)


def equal(one: list, other: list) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", [name for name in PAIRS if name != "partial_norms"])
def test_live_round_trip(name):
    pair = PAIRS[name]
    source, sink = build(pair, 0), build(pair, 1)
    how = {"input_shape": pair.input_shape, "unchecked": name == "subclassed"}  # whose order is a guess
    variables = from_keras(source, pair.module, **how)
    assert not equal(source.get_weights(), sink.get_weights())
    to_keras(variables, pair.module, sink, **how)
    assert equal(source.get_weights(), sink.get_weights())


def test_norms_without_gamma_go_back_only_when_gamma_says_nothing():
    pair = PAIRS["partial_norms"]
    source, sink = build(pair, 0), build(pair, 1)
    variables = from_keras(source, pair.module)
    to_keras(variables, pair.module, sink)
    assert equal(source.get_weights(), sink.get_weights())
    variables["params"]["BatchNorm_0"]["scale"] = variables["params"]["BatchNorm_0"]["scale"] + 1
    with pytest.raises(UserError, match="BatchNorm_0/scale has values, but batch_normalization"):
        to_keras(variables, pair.module, sink)


@pytest.mark.parametrize("name", ["sequential", "recurrent"])
def test_keras_loads_a_file_written_without_keras(name, tmp_path):
    pair = PAIRS[name]
    source, sink = build(pair, 0), build(pair, 1)
    variables = from_keras(source, pair.module)
    save_keras_weights(tmp_path / "ours.weights.h5", variables, pair.module, pair.input_shape)
    sink.load_weights(tmp_path / "ours.weights.h5")
    assert equal(source.get_weights(), sink.get_weights())


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_a_file_like_another_keeps_its_layout(ending, tmp_path):
    pair = PAIRS["inception"]
    source, sink = build(pair, 0), build(pair, 1)
    variables = from_keras(source, pair.module)
    like, ours = tmp_path / ("like" + ending), tmp_path / ("ours" + ending)
    (sink.save_weights if ending == ".weights.h5" else sink.save)(like)
    guess = ending == ".weights.h5"  # which says nothing of the order of branches
    save_keras_weights(ours, variables, pair.module, pair.input_shape, like=like, unchecked=guess)
    if guess:
        sink.load_weights(ours)
    else:
        sink = keras.models.load_model(ours)
    assert equal(source.get_weights(), sink.get_weights())


@pytest.mark.slow
def test_a_network_with_branches_goes_back_into_weights_h5(tmp_path):
    """ResNet-18, whose order only the Keras file knows; and from the whole model's file, just its weights."""
    module, shape = MODELS["resnet18"](), (8, 8, 3)
    source, sink = (random_model(lambda: KERAS_MODELS["resnet18"](shape), seed) for seed in (0, 1))
    variables = from_keras(source, module, shape)
    sink.save_weights(tmp_path / "like.weights.h5")
    sink.save(tmp_path / "like.keras")
    for like in ("like.weights.h5", "like.keras"):
        for variable in sink.weights:
            variable.assign(jnp.zeros_like(variable.value))
        save_keras_weights(tmp_path / "ours.weights.h5", variables, module, shape, like=tmp_path / like)
        sink.load_weights(tmp_path / "ours.weights.h5")
        assert equal(source.get_weights(), sink.get_weights())


@pytest.mark.parametrize("like, ours", [(".keras", ".h5"), (".weights.h5", ".keras"), (".h5", ".weights.h5")])
def test_a_name_that_promises_another_format_is_refused(like, ours, tmp_path):
    pair = PAIRS["sequential"]
    model = build(pair, 0)
    (model.save_weights if like == ".weights.h5" else model.save)(tmp_path / f"a{like}")
    with pytest.raises(
        UserError, match=rf"b{ours} would get the format of \S+a{like}: end its name in '{like}'"
    ):
        save_keras_weights(
            tmp_path / f"b{ours}", from_keras(model, pair.module), pair.module, like=tmp_path / f"a{like}"
        )
    assert not (tmp_path / f"b{ours}").exists()


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_file_can_be_written_over_itself(ending, tmp_path):
    pair = PAIRS["sequential"]
    source, path = build(pair, 0), tmp_path / ("one" + ending)
    build(pair, 1).save(path)
    save_keras_weights(path, from_keras(source, pair.module), pair.module, like=path)
    assert equal(source.get_weights(), keras.models.load_model(path).get_weights())
    assert list(tmp_path.iterdir()) == [path]


def test_branches_are_not_written_in_an_order_that_keras_may_not_have(tmp_path):
    """Inception's equal 1x1 convolutions would be loaded into one another's places without a word."""
    pair = PAIRS["inception"]
    variables = from_keras(build(pair, 0), pair.module)
    with pytest.raises(UserError, match=r"has branches \(.* is not fed by .*\): .*: give like="):
        save_keras_weights(tmp_path / "ours.weights.h5", variables, pair.module, pair.input_shape)
    assert not list(tmp_path.iterdir())


def test_bfloat16_files(tmp_path):
    dense = keras.layers.Dense(3, dtype=keras.DTypePolicy("bfloat16"))
    model = random_model(lambda: keras.Sequential([keras.Input((4,)), dense]))
    model.save_weights(tmp_path / "half.weights.h5")
    module = linen.Dense(3)
    variables = from_keras(tmp_path / "half.weights.h5", module, (4,))
    assert variables["params"]["kernel"].dtype == np.float32
    kernel = np.asarray(dense.kernel.value)
    assert kernel.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(variables["params"]["kernel"], kernel.astype(np.float32))
    doubled = jax.tree.map(lambda a: 2 * a, variables)
    like = tmp_path / "half.weights.h5"
    save_keras_weights(tmp_path / "twice.weights.h5", doubled, module, (4,), like=like)
    model.load_weights(tmp_path / "twice.weights.h5")
    np.testing.assert_array_equal(np.asarray(dense.kernel.value), 2 * kernel)


def test_writing_refuses_what_keras_could_not_load(tmp_path):
    pair = PAIRS["sequential"]
    variables = from_keras(build(pair, 0), pair.module)
    with pytest.raises(UserError, match=r"ending in \.h5, Keras 3 also from \.weights\.h5"):
        save_keras_weights(tmp_path / "ours.npz", variables, pair.module, pair.input_shape)
    with pytest.raises(UserError, match="give input_shape= or like="):
        save_keras_weights(tmp_path / "ours.weights.h5", variables, pair.module)
    del variables["params"]["Conv_0"]["bias"]
    with pytest.raises(UserError, match="differ in: params/Conv_0/bias"):
        save_keras_weights(tmp_path / "ours.weights.h5", variables, pair.module, pair.input_shape)
    cell = linen.RNN(linen.SimpleCell(3))
    x = np.zeros((1, 4, 2), np.float32)
    with pytest.raises(UserError, match="no known Keras layer corresponds to RNN"):
        save_keras_weights(tmp_path / "ours.weights.h5", cell.init(jax.random.key(0), x), cell, (4, 2))
    assert not list(tmp_path.iterdir())


def test_layout_of_the_written_file(tmp_path):
    pair = PAIRS["recurrent"]
    variables = from_keras(build(pair, 0), pair.module)
    save_keras_weights(tmp_path / "ours.weights.h5", variables, pair.module, pair.input_shape)
    with h5py.File(tmp_path / "ours.weights.h5") as file:
        assert sorted(file["layers"]) == [
            "dense",
            "embedding",
            "gru",
            "gru_1",
            "lstm",
            "simple_rnn",
            "simple_rnn_1",
        ]
        assert file["layers/gru_1/cell/vars/2"].shape == (12,)
        np.testing.assert_array_equal(
            file["layers/lstm/cell/vars/1"], variables["params"]["LSTM_0"]["recurrent_kernel"]
        )
