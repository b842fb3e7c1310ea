"""What recurrent layers can be set to, beside Keras's: masks, states, directions, dropout."""

from unittest import mock

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError
from tests.nn.beside_keras import check

X = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
LAYERS = {
    "SimpleRNN": (keras.layers.SimpleRNN, nn.SimpleRNN, {}),
    "LSTM": (keras.layers.LSTM, nn.LSTM, {}),
    "GRU": (keras.layers.GRU, nn.GRU, {}),
    "GRU, reset before": (keras.layers.GRU, nn.GRU, {"reset_after": False}),
}
EVERY = {"go_backwards": True, "return_sequences": True, "return_state": True, "use_bias": False}
OPTIONS = {
    "mask, states, backwards, no bias, other gates": (
        {**EVERY, "activation": "softsign"},
        ["mask", "initial_state"],
    ),
    "dropouts": ({"dropout": 0.3, "recurrent_dropout": 0.4, "return_sequences": True}, ["train"]),
    "backwards, no bias": ({"go_backwards": True, "use_bias": False}, []),
    "mask, backwards, unrolled": ({"go_backwards": True, "return_state": True, "unroll": True}, ["mask"]),
    "dropout": ({"dropout": 0.5}, ["train"]),
    "dropout, not training": ({"dropout": 0.3, "recurrent_dropout": 0.4}, ["evaluate"]),
    "recurrent dropout, mask": ({"recurrent_dropout": 0.4, "unroll": True}, ["train", "mask"]),
    "mask": ({}, ["mask"]),
    "zeros where masked": ({"zero_output_for_mask": True, "return_sequences": True}, ["mask"]),
    "zero at the end": ({"zero_output_for_mask": True, "return_state": True}, ["mask"]),
    "states": ({"return_state": True}, ["initial_state"]),
}
OFTEN = [("SimpleRNN", "dropouts")]  # and both directions, below, with a mask and states


def draws():
    """Random bits that are the same for Keras and for us, wherever each takes them."""
    rng = np.random.default_rng(3)
    return mock.patch("jax.random.bernoulli", lambda key, p, shape: jnp.asarray(rng.random(shape) < p))


def check_options(name, options, given):
    theirs, ours, more = LAYERS[name]
    options = {**options, **more}
    if "activation" in options and name != "SimpleRNN":
        options["recurrent_activation"] = "hard_sigmoid"
    states = 2 if name == "LSTM" else 1
    start = [np.full((3, 6), 0.1 * (i + 1), np.float32) for i in range(states)]
    values = {
        "mask": {"mask": MASK},
        "initial_state": {"initial_state": start},
        "train": {"train": True},
        "evaluate": {"train": False},
    }
    kwargs = {key: value for kind in given for key, value in values[kind].items()}
    their_kwargs = {"training" if key == "train" else key: value for key, value in kwargs.items()}
    their_layer, our_layer = theirs(6, **options), ours(6, **options)
    if "train" not in given:
        return check(their_layer, our_layer, X, kwargs, their_kwargs)
    fake = draws
    with mock.patch.object(their_layer, "stateless_call", with_draws(their_layer.stateless_call, fake)):
        our_layer_apply = with_draws(our_layer.apply, fake, rngs={"dropout": jax.random.key(0)})
        return check(their_layer, mock.Mock(apply=our_layer_apply), X, kwargs, their_kwargs)


def with_draws(function, fake, **more):
    def call(*args, **kwargs):
        with fake():
            return function(*args, **kwargs, **more)

    return call


@pytest.mark.parametrize(
    "name, options",
    [
        pytest.param(name, options, marks=() if (name, options) in OFTEN else pytest.mark.slow)
        for name in LAYERS
        for options in OPTIONS
    ],
)
def test_equals_keras(name, options):
    check_options(name, *OPTIONS[options])


BOTH = [("concat", {"return_sequences": True, "return_state": True}, ["mask", "initial_state"])]
MORE = [
    ("mul", {}, []),
    ("sum", {"return_sequences": True}, []),
    ("ave", {}, ["mask"]),
    (None, {"return_sequences": True, "return_state": True}, ["mask"]),
    (None, {}, []),
]


@pytest.mark.parametrize(
    "merge_mode, options, given", [*BOTH, *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE)]
)
def test_both_directions_equal_keras(merge_mode, options, given):
    theirs = keras.layers.Bidirectional(keras.layers.LSTM(6, **options), merge_mode)
    ours = nn.Bidirectional(nn.LSTM(6, **options), merge_mode)
    values = {"mask": MASK, "initial_state": [np.full((3, 6), 0.1 * i, np.float32) for i in range(4)]}
    check(theirs, ours, X, {kind: values[kind] for kind in given})


@pytest.mark.slow
def test_two_layers_of_their_own_equal_keras():
    theirs = keras.layers.Bidirectional(
        keras.layers.LSTM(6), backward_layer=keras.layers.GRU(6, go_backwards=True, name="backward_gru")
    )
    check(theirs, nn.Bidirectional(nn.LSTM(6), backward_layer=nn.GRU(6, go_backwards=True)), X)


def random_params(layer):
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), X))
    return jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)


@pytest.mark.slow
def test_masked_steps_are_as_if_they_were_not_there():
    layer = nn.GRU(6, return_sequences=True)
    params = random_params(layer)
    kept = layer.apply(params, X[1:2, MASK[1]])
    holes = jnp.where(MASK[..., None], X, jnp.nan)
    found = layer.apply(params, holes, mask=MASK)
    np.testing.assert_allclose(found[1:2, MASK[1]], kept, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[2], np.zeros((5, 6)))
    gradient = jax.grad(lambda params: jnp.sum(layer.apply(params, holes, mask=MASK)))(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_a_sequence_in_two_pieces_equals_the_whole():
    layer = nn.LSTM(6, return_sequences=True, return_state=True)
    params = random_params(layer)
    whole, h, c = layer.apply(params, X)
    first, *state = layer.apply(params, X[:, :2])
    second, *last = layer.apply(params, X[:, 2:], initial_state=state)
    for found, expected in ((jnp.concatenate([first, second], 1), whole), (last[0], h), (last[1], c)):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_dropout_is_the_same_in_all_steps():
    """Of ones through one unit per input that only adds up, each step adds the same, 0 or 2, or 0 to all."""
    params = {"kernel": jnp.eye(50), "recurrent_kernel": jnp.eye(50)}
    layer = nn.SimpleRNN(50, True, "linear", use_bias=False, dropout=0.5)
    call = {"train": True, "rngs": {"dropout": jax.random.key(0)}}
    y = layer.apply({"params": params}, jnp.ones((1, 4, 50)), **call)
    np.testing.assert_array_equal(y[0], np.arange(1, 5)[:, None] * np.asarray(y[0, :1]))
    assert set(np.unique(y[0, 0])) == {0.0, 2.0}
    nothing = layer.clone(dropout=1.0).apply({"params": params}, jnp.ones((1, 4, 50)), **call)
    np.testing.assert_array_equal(nothing, np.zeros((1, 4, 50)))


def test_masks_of_tokens_and_of_values():
    np.testing.assert_array_equal(nn.embedding_mask(jnp.array([[3, 0], [0, 2]])), [[1, 0], [0, 1]])
    x = np.stack([X[0], np.full((5, 4), -1, np.float32)])
    theirs = keras.layers.Masking(-1.0)
    values, kept = nn.masking(x, -1.0)
    np.testing.assert_array_equal(values, theirs(x))
    np.testing.assert_array_equal(kept, theirs.compute_mask(x))


@pytest.mark.parametrize(
    "layer, kwargs, message",
    [
        (nn.LSTM(6), {"mask": MASK[:, :4]}, r"a mask of shape \(3, 4\) does not fit \(3, 5, 4\)"),
        (nn.LSTM(6), {"initial_state": np.ones((3, 6))}, r"LSTM takes 2 of shape \(3, 6\)"),
        (nn.GRU(6), {"initial_state": [np.ones((3, 5))]}, r"\(3, 5\): GRU takes 1 of shape \(3, 6\)"),
        (nn.GRU(6, dropout=0.1), {}, r"GRU has a dropout: say whether it trains"),
        (nn.GRU(6, dropout=10), {"train": True}, "dropout rate 10: it must be from 0 to 1"),
        (nn.GRU(6, activation="tahn"), {}, r"unknown activation 'tahn' \(did you mean tanh"),
        (nn.Bidirectional(nn.GRU(6), "add"), {}, "unknown merge mode 'add'; known: concat, sum"),
        (nn.Bidirectional(nn.GRU(6), backward_layer=nn.GRU(6)), {}, "one must have go_backwards=True"),
        (
            nn.Bidirectional(nn.GRU(6), backward_layer=nn.GRU(6, True, go_backwards=True)),
            {},
            "must both return sequences, or states, or neither",
        ),
    ],
)
def test_what_does_not_fit_is_the_users_error(layer, kwargs, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda: layer.init(jax.random.key(0), X, **kwargs))
