"""Types and layouts of weights: what is converted gives Keras's numbers, the rest is called by its name."""

import h5py
import jax
import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest
from flax import linen
from keras import layers as kl
from keras.src.legacy.saving import legacy_h5_format
from keras_pairs import random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras, save_keras_weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]
RANDOM = np.random.default_rng(0)


def legacy_file(path, weights, **attributes):
    """A layer "rnn" with these weights, as Keras 2 wrote it."""
    with h5py.File(path, "w") as file:
        file.attrs.update(layer_names=[b"rnn"], **attributes)
        group = file.create_group("rnn")
        group.attrs["weight_names"] = [f"rnn/{name}:0".encode() for name in weights]
        for name, array in weights.items():
            group[f"rnn/{name}:0"] = array
    return path


def weights_file(path, *arrays):
    with h5py.File(path, "w") as file:
        for number, array in enumerate(arrays):
            file[f"layers/dense/vars/{number}"] = array
    return path


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cudnn(units, inputs, gates):
    """Weights as CuDNN has them: per gate a matrix (units, in) and one (units, units), and two biases."""
    shapes = (gates, units, inputs), (gates, units, units), (2, gates, units)
    return (RANDOM.normal(size=shape).astype("f") for shape in shapes)


def as_keras_2(w, r, b):
    """CuDNN's memory in the shapes that Keras 2 gave it."""
    _, units, inputs = w.shape
    kernel = np.hstack([block.reshape(inputs, units) for block in w])
    return {"kernel": kernel, "recurrent_kernel": np.hstack(list(r)), "bias": b.ravel()}


def test_an_lstm_of_cudnn(tmp_path):
    w, r, b = cudnn(5, 3, gates=4)
    x = RANDOM.normal(size=(2, 7, 3)).astype("f")
    h = c = np.zeros((2, 5), "f")
    for now in x.swapaxes(0, 1):  # CuDNN's own formula, gates i, f, c, o
        i, f, candidate, o = (now @ w[g].T + h @ r[g].T + b[0, g] + b[1, g] for g in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
        h = sigmoid(o) * np.tanh(c)
    path = legacy_file(tmp_path / "cudnn.h5", as_keras_2(w, r, b))
    variables = from_keras(path, nn.LSTM(5), (7, 3))
    np.testing.assert_allclose(nn.LSTM(5).apply(variables, x), h, rtol=1e-5, atol=1e-6)
    back = tmp_path / "back.h5"
    save_keras_weights(back, variables, nn.LSTM(5), (7, 3), like=path)
    again = from_keras(back, nn.LSTM(5), (7, 3))
    for role in ("kernel", "recurrent_kernel", "bias"):
        np.testing.assert_array_equal(again["params"][role], variables["params"][role])
    with h5py.File(back) as file:  # in CuDNN's layout again
        np.testing.assert_array_equal(file["rnn/rnn/kernel:0"], as_keras_2(w, r, b)["kernel"])


def test_a_gru_of_cudnn(tmp_path):
    w, r, b = cudnn(5, 3, gates=3)
    x = RANDOM.normal(size=(2, 7, 3)).astype("f")
    h = np.zeros((2, 5), "f")
    for now in x.swapaxes(0, 1):
        (xz, xr, xh), (hz, hr, hh) = (
            [part @ matrices[g].T + b[row, g] for g in range(3)]
            for row, (part, matrices) in enumerate([(now, w), (h, r)])
        )
        z, reset = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + reset * hh)
    path = legacy_file(tmp_path / "cudnn.h5", as_keras_2(w, r, b))
    variables = from_keras(path, nn.GRU(5), (7, 3))
    np.testing.assert_allclose(nn.GRU(5).apply(variables, x), h, rtol=1e-5, atol=1e-6)


def test_kernels_of_theano_are_flipped(tmp_path):
    kernel = RANDOM.normal(size=(3, 2, 4, 5)).astype("f")
    weights = {"kernel": kernel, "bias": np.zeros(5, "f")}
    path = legacy_file(tmp_path / "theano.h5", weights, backend=b"theano")
    read = from_keras(path, nn.Conv(5, (3, 2)), (9, 9, 4))["params"]["kernel"]
    np.testing.assert_array_equal(read, kernel[::-1, ::-1])
    path = legacy_file(tmp_path / "theano.h5", {"depthwise_kernel": kernel[..., :1]}, backend="theano")
    with pytest.raises(UserError, match="was saved with Theano"):
        from_keras(path, nn.DepthwiseConv((3, 2), use_bias=False), (9, 9, 4))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, ">f4", np.float64])
@pytest.mark.filterwarnings("error:float64")
def test_floats_are_taken(dtype, tmp_path):
    kernel = (RANDOM.integers(-50, 50, (4, 2)) / 16).astype(dtype)  # exact in all of them
    path = weights_file(tmp_path / "a.weights.h5", kernel, np.zeros(2, dtype))
    read = from_keras(path, nn.Dense(2), (4,))["params"]["kernel"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, kernel.astype(np.float64))


@pytest.mark.filterwarnings("error:float64")
def test_float64_is_exact_or_said_to_be_rounded(tmp_path):
    kernel = RANDOM.normal(size=(4, 2))
    path = weights_file(tmp_path / "a.weights.h5", kernel, np.zeros(2))
    with pytest.warns(UserWarning, match="float64 weights were rounded to the module's own type: kernel$"):
        read = from_keras(path, nn.Dense(2), (4,))["params"]["kernel"]
    np.testing.assert_array_equal(read, kernel.astype(np.float32))
    with jax.enable_x64(True):
        read = from_keras(path, linen.Dense(2, param_dtype=jnp.float64), (4,))["params"]["kernel"]
        np.testing.assert_array_equal(read, kernel)
    kernel[0, 0] = 1e200
    weights_file(path, kernel, np.zeros(2))
    with pytest.raises(UserError, match="dense has weights that are too large for float32"):
        from_keras(path, nn.Dense(2), (4,))


@pytest.mark.parametrize(
    "kernel",
    [
        np.zeros((4, 2), np.int8),
        np.zeros((4, 2), np.int64),
        np.zeros((4, 2), np.complex64),
        np.zeros((4, 2), bool),
        np.zeros((4, 2), "S3"),
        np.zeros((4, 2), [("a", "f4"), ("b", "i4")]),
        np.zeros((4, 2), "V4"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_what_is_no_float_is_refused(kernel, tmp_path):
    path = weights_file(tmp_path / "a.weights.h5", kernel, np.zeros(2, "f"))
    words = r"/layers/dense/vars/0 in .* holds .*, and weights are float16, bfloat16, float32 or float64"
    with pytest.raises(UserError, match=words):
        from_keras(path, nn.Dense(2), (4,))


def test_quantized_layers_are_called_so(tmp_path):
    model = random_model(lambda: keras.Sequential([keras.Input((6,)), kl.Dense(5, use_bias=False, name="d")]))
    model.quantize("int8")
    model.save(tmp_path / "q.keras")
    model.save_weights(tmp_path / "q.weights.h5")
    with pytest.raises(UserError, match=r"the layer 'd' .* is quantized \(int8\)"):
        from_keras(tmp_path / "q.keras", nn.Dense(5), (6,))
    for source in (tmp_path / "q.weights.h5", model):
        with pytest.raises(UserError, match=r"holds int8, .*: the layer is quantized"):
            from_keras(source, nn.Dense(5), (6,))


def bidirectional():
    lstm = kl.Bidirectional(kl.LSTM(3, return_sequences=True))
    return keras.Sequential([keras.Input((5, 6)), lstm, kl.Bidirectional(kl.GRU(3)), kl.Dense(2)])


class Bidirectional(linen.Module):
    @linen.compact
    def __call__(self, x):
        one, other = nn.LSTM(3, return_sequences=True)(x), nn.LSTM(3, return_sequences=True)(x[:, ::-1])
        x = jnp.concatenate([one, other[:, ::-1]], -1)
        return nn.Dense(2)(jnp.concatenate([nn.GRU(3)(x), nn.GRU(3)(x[:, ::-1])], -1))


def stacked():
    cells = [kl.LSTMCell(4), kl.LSTMCell(4), kl.LSTMCell(4)]
    return keras.Sequential([keras.Input((5, 4)), kl.RNN(cells), kl.Dense(2)])


class Stacked(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = nn.LSTM(4, return_sequences=True)(x)
        x = nn.LSTM(4, return_sequences=True)(x)
        return nn.Dense(2)(nn.LSTM(4)(x))


def attention():
    start = keras.Input((5, 8))
    x = kl.MultiHeadAttention(2, 4)(start, start)
    x = kl.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(start, kl.Dense(2)(kl.GlobalAveragePooling1D()(x)))


class Attention(linen.Module):
    @linen.compact
    def __call__(self, x):
        for _ in range(2):
            x = linen.MultiHeadDotProductAttention(2)(x)
        return nn.Dense(2)(x.mean(1))


def wrapped():
    return keras.Sequential([keras.Input((5, 4)), kl.TimeDistributed(kl.Dense(4)), kl.LSTM(3), kl.Dense(2)])


class Wrapped(linen.Module):
    @linen.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.LSTM(3)(nn.Dense(4)(x)))


def augmented():
    """Its random layers have state of integers."""
    stack = [keras.Input((8, 8, 3)), kl.RandomFlip(), kl.RandomTranslation(0.1, 0.1), kl.Conv2D(4, 3)]
    return keras.Sequential([*stack, kl.Flatten(), kl.Dropout(0.5), kl.Dense(2)])


class Augmented(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = nn.Conv(4, 3)(x)
        return nn.Dense(2)(x.reshape(len(x), -1))


COMPOSITES = {
    "bidirectional": (bidirectional, Bidirectional(), (5, 6)),
    "stacked": (stacked, Stacked(), (5, 4)),
    "attention": (attention, Attention(), (5, 8)),
    "wrapped": (wrapped, Wrapped(), (5, 4)),
    "augmented": (augmented, Augmented(), (8, 8, 3)),
}


def write(model, path):
    if path.name == "weights-only.h5":
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    elif path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    if path.name == "early.weights.h5":  # before Keras 3.6
        with h5py.File(path, "r+") as file:
            file.visititems(lambda name, item: item.attrs.pop("name", None) and None)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "stacked",
        pytest.param("wrapped", marks=pytest.mark.slow),
        "augmented",
        pytest.param("bidirectional", marks=pytest.mark.slow),
        pytest.param("attention", marks=pytest.mark.slow),
    ],
)
def test_layers_made_of_layers_in_every_format(name, tmp_path):
    make, module, shape = COMPOSITES[name]
    model = random_model(make)
    x = RANDOM.normal(size=(3, *shape)).astype("f")
    variables = from_keras(model, module, shape)
    with jax.numpy_rank_promotion("allow"):
        y, expected = jax.jit(module.apply)(variables, x), model(x, training=False)
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)
    for file in ("a.keras", "a.weights.h5", "early.weights.h5", "whole.h5", "weights-only.h5"):
        path = write(model, tmp_path / file)
        if (name, file) == ("wrapped", "early.weights.h5"):  # has no names, and lists layers class by class
            with pytest.raises(UserError, match="in an order that cannot be reconciled"):
                from_keras(path, module, shape)
            continue
        read = from_keras(path, module, shape)
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), read, variables)), file


def test_legacy_files_are_written_without_keras(tmp_path):
    layers = [kl.Conv2D(4, 3), kl.BatchNormalization(), kl.DepthwiseConv2D(2), kl.Flatten(), kl.Dense(3)]
    made = [
        random_model(lambda: keras.Sequential([keras.Input((8, 8, 2)), *map(copy_of, layers)]), seed)
        for seed in (0, 1)
    ]

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = nn.DepthwiseConv(2)(nn.BatchNorm()(nn.Conv(4, 3)(x), False))
            return nn.Dense(3)(x.reshape(len(x), -1))

    variables = from_keras(made[0], Net())
    save_keras_weights(tmp_path / "ours.h5", variables, Net(), (8, 8, 2))
    made[1].load_weights(tmp_path / "ours.h5")
    for ours, theirs in zip(made[1].get_weights(), made[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again = from_keras(tmp_path / "ours.h5", Net(), (8, 8, 2))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), again, variables))


def copy_of(layer):
    return type(layer).from_config(layer.get_config())
