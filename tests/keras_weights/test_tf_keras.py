"""Keras 2 (tf_keras): its live models and files are read, and it loads the files that are written for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxnets import nn
from jaxnets.keras_weights import from_keras, save_keras_weights, to_keras

tf_keras = pytest.importorskip("tf_keras", reason="needs tf_keras and TensorFlow")
tl = tf_keras.layers


def small():
    stack = [tf_keras.Input((6, 6, 2)), tl.Conv2D(4, 3), tl.BatchNormalization(), tl.Flatten(), tl.Dense(3)]
    return random(tf_keras.Sequential(stack))


class Small(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = nn.BatchNorm()(nn.Conv(4, 3)(x), False)
        return nn.Dense(3)(x.reshape(len(x), -1))


def recurrent():
    both = tl.Bidirectional(tl.LSTM(3, return_sequences=True))
    cells = tl.RNN([tl.GRUCell(4), tl.GRUCell(4)], return_sequences=True)
    return random(tf_keras.Sequential([tf_keras.Input((5, 4)), both, cells, tl.SimpleRNN(4), tl.Dense(2)]))


class Recurrent(linen.Module):
    @linen.compact
    def __call__(self, x):
        one, other = nn.LSTM(3, return_sequences=True)(x), nn.LSTM(3, return_sequences=True)(x[:, ::-1])
        x = jnp.concatenate([one, other[:, ::-1]], -1)
        for _ in range(2):
            x = nn.GRU(4, return_sequences=True)(x)
        return nn.Dense(2)(nn.SimpleRNN(4)(x))


def attention():
    start = tf_keras.Input((5, 8))
    x = tl.MultiHeadAttention(2, 4)(start, start)
    return random(tf_keras.Model(start, tl.Dense(2)(tl.GlobalAveragePooling1D()(x))))


class Attention(linen.Module):
    @linen.compact
    def __call__(self, x):
        return nn.Dense(2)(linen.MultiHeadDotProductAttention(2)(x).mean(1))


def random(model):
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(rng.normal(size=w.shape)).astype("f") for w in model.get_weights()])
    return model


MODELS = {"small": (small, Small(), (6, 6, 2)), "recurrent": (recurrent, Recurrent(), (5, 4)),
          "attention": (attention, Attention(), (5, 8))}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_live_models_and_every_file(name, fitted, tmp_path):
    make, module, shape = MODELS[name]
    model = make()
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype("f")
    if fitted:
        model.compile("adam", "mse", metrics=["mae", tf_keras.metrics.MeanSquaredError()])
        model.fit(x, np.zeros((3, model.output_shape[-1]), "f"), verbose=0)
    expected = model(x, training=False).numpy()
    model.save_weights(tmp_path / "a.weights.h5")
    model.save_weights(tmp_path / "weights.h5")
    model.save(tmp_path / "whole.h5")
    model.save(tmp_path / "a.keras")
    for source in (model, *sorted(tmp_path.iterdir())):
        variables = from_keras(source, module, shape)
        with jax.numpy_rank_promotion("allow"):
            y = module.apply(variables, x)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5, err_msg=str(source))


@pytest.mark.filterwarnings("ignore")
def test_what_is_written_is_loaded(tmp_path):
    model, module = small(), Small()
    doubled = jax.tree.map(lambda array: 2 * array, from_keras(model, module))
    expected = [2 * weight for weight in model.get_weights()]
    model.save_weights(tmp_path / "like.weights.h5")
    model.save(tmp_path / "like.keras")
    save_keras_weights(tmp_path / "new.h5", doubled, module, (6, 6, 2))
    for like in ("like.weights.h5", "like.keras"):
        ours = tmp_path / f"from-{like.removesuffix('.keras').removesuffix('.weights.h5')}-{like}"
        save_keras_weights(ours, doubled, module, (6, 6, 2), like=tmp_path / like)
    for file in (*tmp_path.glob("from*.weights.h5"), tmp_path / "new.h5"):
        again = small()
        again.load_weights(file)
        assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), expected, strict=True)), file
    again = tf_keras.models.load_model(next(iter(tmp_path.glob("from*.keras"))))
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), expected, strict=True))
    to_keras(doubled, module, model)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), expected, strict=True))
