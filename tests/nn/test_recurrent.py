"""Recurrent layers beside Keras's, and with weights set by hand and literal outputs."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError
from tests.keras_random import random_weights

LAYERS = {
    "simple_rnn": (keras.layers.SimpleRNN, nn.SimpleRNN, {}),
    "lstm": (keras.layers.LSTM, nn.LSTM, {}),
    "gru": (keras.layers.GRU, nn.GRU, {}),
    "gru_reset_before": (keras.layers.GRU, nn.GRU, {"reset_after": False}),
}


@pytest.mark.parametrize("time", [1, 7])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.sampled(4)
def test_equals_keras(name, return_sequences, time):
    their_layer, our_layer, options = LAYERS[name]
    x = np.random.default_rng(0).normal(size=(3, time, 4)).astype(np.float32)
    theirs = their_layer(5, return_sequences=return_sequences, **options)
    with jax.numpy_rank_promotion("allow"), random_weights(seed=1):
        expected = np.asarray(theirs(x))
    params = {weight.name: weight.value for weight in theirs.weights}
    got = our_layer(5, return_sequences=return_sequences, **options).apply({"params": params}, x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def run(layer, params):
    """Two sequences of three steps of two channels: 0..5 and 6..11, a tenth of each."""
    x = jnp.arange(12.0).reshape(2, 3, 2) / 10
    return layer.apply({"params": {name: jnp.array(value) for name, value in params.items()}}, x)


def test_simple_rnn_by_hand():
    """One unit, kernel (1, 0), recurrent kernel 2, bias .5, no activation: h = x0 + .5 + 2h."""
    params = {"kernel": [[1.0], [0.0]], "recurrent_kernel": [[2.0]], "bias": [0.5]}
    layer = nn.SimpleRNN(1, return_sequences=True, activation=lambda v: v)
    expected = [[[0.5], [1.7], [4.3]], [[1.1], [3.5], [8.5]]]
    np.testing.assert_allclose(run(layer, params), expected, rtol=1e-6)
    np.testing.assert_allclose(
        run(nn.SimpleRNN(1, activation=lambda v: v), params), [[4.3], [8.5]], rtol=1e-6
    )


# Gates that are shut or open: sigmoid(-50) and sigmoid(50) are 0 and 1 within float32.
SHUT, OPEN = -50.0, 50.0


@pytest.mark.parametrize(
    "i, f, o, expected",
    [
        (OPEN, OPEN, OPEN, [0.6, 2.4]),  # sums the candidates: 0 + .2 + .4, .6 + .8 + 1
        (OPEN, SHUT, OPEN, [0.4, 1.0]),  # forgets: the last candidate
        (SHUT, OPEN, OPEN, [0.0, 0.0]),  # lets nothing in
        (OPEN, OPEN, SHUT, [0.0, 0.0]),  # lets nothing out
    ],
)
def test_lstm_gates_by_hand(i, f, o, expected):
    """The order of the gates is i, f, candidate, o; the candidate is the first channel."""
    kernel = [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    params = {"kernel": kernel, "recurrent_kernel": [[0.0] * 4], "bias": [i, f, 0.0, o]}
    got = run(nn.LSTM(1, activation=lambda v: v), params)
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize(
    "z, r, expected",
    [
        (OPEN, OPEN, [0.0, 0.0]),  # keeps its state, which is zero
        (SHUT, SHUT, [0.4, 1.0]),  # forgets its state: the last candidate
        (SHUT, OPEN, [0.6, 2.4]),  # adds its state to the candidate
        (0.0, OPEN, [0.3, 1.2]),  # half of each: h = (h + x + h)/2
    ],
)
def test_gru_gates_by_hand(z, r, expected, reset_after):
    """The order of the gates is z, r, candidate."""
    kernel = [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    bias = [[z, r, 0.0], [0.0] * 3] if reset_after else [z, r, 0.0]
    params = {"kernel": kernel, "recurrent_kernel": [[0.0, 0.0, 1.0]], "bias": bias}
    got = run(nn.GRU(1, activation=lambda v: v, reset_after=reset_after), params)
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-6, atol=1e-6)


def test_gru_resets_the_product_or_the_state():
    """They differ where a bias stands in the product: r*(h@U + b) against (r*h)@U + b."""
    state, projected = (jnp.ones((1, 1)),), jnp.array([[SHUT, SHUT, 0.0]])
    kernel, bias = jnp.zeros((1, 3)), jnp.array([0.0, 0.0, 3.0])

    def linear(v):
        return v

    assert float(nn.gru_cell(state, projected, kernel, linear, bias)[0][0, 0]) < 1e-20
    assert (
        float(nn.gru_cell_reset_before(state, projected + bias.reshape(1, 3), kernel, linear)[0][0, 0]) == 3
    )


@pytest.mark.slow
def test_start():
    """Glorot over the fused matrix, an orthogonal recurrence, ones for the LSTM's forget gate."""
    params = nn.LSTM(50).init(jax.random.key(0), jnp.ones((1, 2, 100)))["params"]
    limit = np.sqrt(6 / (100 + 200))  # fan-out is 4 * 50
    assert 0.99 * limit < np.max(np.abs(params["kernel"])) <= limit
    product = params["recurrent_kernel"] @ params["recurrent_kernel"].T
    np.testing.assert_allclose(product, np.eye(50), atol=1e-5)
    np.testing.assert_array_equal(params["bias"], np.repeat([0.0, 1.0, 0.0, 0.0], 50))
    x = jax.ShapeDtypeStruct((1, 2, 3), jnp.float32)
    for layer, shape in (
        (nn.GRU(5), (2, 15)),
        (nn.GRU(5, reset_after=False), (15,)),
        (nn.SimpleRNN(5), (5,)),
    ):
        params = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
        assert params["bias"].shape == shape


@pytest.mark.parametrize(
    "layer, gates", [(nn.SimpleRNN(5), 1), (nn.LSTM(5), 4), (nn.GRU(5, reset_after=False), 3)]
)
def test_bfloat16(layer, gates):
    rng = np.random.default_rng(0)
    shapes = {"kernel": (4, 5 * gates), "recurrent_kernel": (5, 5 * gates), "bias": (5 * gates,)}
    params = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    half, full = (
        jax.jit(layer.clone(dtype=dtype).apply)({"params": params}, x) for dtype in (jnp.bfloat16, None)
    )
    assert half.dtype == jnp.bfloat16
    assert full.dtype == jnp.float32
    # Three steps, each with products and sums of values around one, of eight bits.
    np.testing.assert_allclose(half.astype(jnp.float32), full, atol=8 * 2**-8)


def test_input_that_is_no_sequence_is_the_users_error():
    with pytest.raises(UserError, match=r"\(batch, time, channels\), not \(2, 3\)"):
        nn.LSTM(5).init(jax.random.key(0), jnp.ones((2, 3)))
