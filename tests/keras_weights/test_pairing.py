"""Weights inside a layer, equal branches, parts of a file: paired by what is known, and never guessed."""

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen
from keras import layers as kl
from keras.src.legacy.saving import legacy_h5_format
from keras_pairs import Net, random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import branches, from_keras, to_keras

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]


def every_file(model, path):
    """The model, and all its formats."""
    for name in ("model.keras", "whole.h5"):
        model.save(path / name)
    model.save_weights(path / "model.weights.h5")
    with h5py.File(path / "weights.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return [model, *(path / name for name in ("model.keras", "whole.h5", "model.weights.h5", "weights.h5"))]


def outputs(model, x):
    with jax.numpy_rank_promotion("allow"):
        return np.asarray(model(x, training=False))


def assert_computes(source, body, x, expected, **how):
    net = Net(body)
    found = net.apply(from_keras(source, net, x.shape[1:], **how), x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def assert_all_files_are_alike(model, body, shape, folder):
    """Every format gives what the live model gives."""
    expected = from_keras(model, Net(body))
    for source in every_file(model, folder)[1:]:
        found = from_keras(source, Net(body), shape)
        assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


@keras.saving.register_keras_serializable("jaxnets_tests")
class KerasAffine(kl.Layer):
    def build(self, shape):
        self.shift = self.add_weight(shape=shape[1:], name="shift")
        self.gain = self.add_weight(shape=shape[1:], name="gain")

    def call(self, x):
        return x * self.gain + self.shift


class Affine(linen.Module):
    """Its parameters are not in the order of `KerasAffine`'s weights."""

    @linen.compact
    def __call__(self, x):
        gain, shift = (self.param(name, linen.initializers.ones, x.shape[1:]) for name in ("gain", "shift"))
        return x * gain[None] + shift[None]


def test_weights_of_ones_own_layer_are_paired_by_name_or_not_at_all(tmp_path):
    model = random_model(lambda: keras.Sequential([keras.Input((3,)), KerasAffine()]))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("f")
    expected = outputs(model, x)
    for source in every_file(model, tmp_path):
        if str(source).endswith((".keras", ".weights.h5")):  # these have only numbers
            with pytest.raises(
                UserError, match=r"does not say which weight of keras_?affine.* is which, and gain, shift"
            ):
                from_keras(source, Net(lambda x: Affine()(x)), (3,))
            from_keras(source, Net(lambda x: Affine()(x)), (3,), unchecked=True)
        else:
            assert_computes(source, lambda x: Affine()(x), x, expected)
    net = Net(lambda x: Affine()(x))
    variables = from_keras(model, net)
    to_keras(jax.tree.map(lambda a: 2 * a, variables), net, model)
    np.testing.assert_allclose(outputs(model, x), 2 * expected, rtol=1e-5)


def test_a_weight_takes_no_other_role(tmp_path):
    def make():
        return keras.Sequential([keras.Input((3,)), kl.LayerNormalization(scale=False)])

    model = random_model(make)
    files = every_file(model, tmp_path)
    gamma = Net(lambda x: linen.LayerNorm(epsilon=1e-3, use_bias=False)(x))
    beta = Net(lambda x: linen.LayerNorm(epsilon=1e-3, use_scale=False)(x))
    for source in files:
        numbers = str(source).endswith("model.weights.h5")  # nothing else
        words = "does not say which weight" if numbers else r"roles: layer_norm\w* \(bias\) for \w+ \(scale\)"
        with pytest.raises(UserError, match=words):
            from_keras(source, gamma, (3,))
        if not numbers:
            bias = from_keras(source, beta, (3,))["params"]["LayerNorm_0"]["bias"]
            np.testing.assert_array_equal(bias, model.get_weights()[0])


def gate(between=lambda x: x):
    start = keras.Input((6,))
    gate, value = kl.Dense(6, activation="sigmoid")(start), kl.Dense(6)(start)
    return keras.Model(start, kl.Dense(2)(between(kl.Multiply()([gate, value]))))


def gate_first(x):
    gate = jax.nn.sigmoid(nn.Dense(6)(x))
    product = gate * nn.Dense(6)(x)
    return nn.Dense(2)(product)


def value_first(x):
    value = nn.Dense(6)(x)
    product = jax.nn.sigmoid(nn.Dense(6)(x)) * value
    return nn.Dense(2)(product)


@pytest.mark.parametrize("body", [gate_first, value_first])
def test_the_configuration_tells_equal_branches_apart(body, tmp_path):
    model = random_model(gate)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("f")
    *known, numbers, names = every_file(model, tmp_path)
    for source in known:
        assert_computes(source, body, x, outputs(model, x))
    for source in (numbers, names):
        with pytest.raises(
            UserError, match=r"which of its equal branches is which, dense\w*, dense\w* for Dense_0"
        ):
            from_keras(source, Net(body), (6,))
    if body is gate_first:  # as they were made
        assert_computes(names, body, x, outputs(model, x), unchecked=True)


def test_branches_into_something_unknown_are_refused():
    model = random_model(lambda: gate(kl.Lambda(lambda x: x[:, ::-1])))
    with pytest.raises(UserError, match="equal branches"):
        from_keras(model, Net(gate_first))
    assert from_keras(model, Net(gate_first), unchecked=True)["params"]["Dense_0"]["kernel"].shape == (6, 6)


def test_settings_tell_equal_branches_apart():
    """Three convolutions of different dilation, which the module calls in another order."""

    def make():
        start = keras.Input((9, 9, 3))
        parts = [kl.Conv2D(4, 3, padding="same", dilation_rate=rate)(start) for rate in (1, 2, 3)]
        return keras.Model(start, kl.GlobalAveragePooling2D()(kl.Add()(parts)))

    def body(x):
        parts = [linen.Conv(4, (3, 3), kernel_dilation=rate)(x) for rate in (3, 1, 2)]
        return nn.global_avg_pool(sum(parts))

    x = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype("f")
    model = random_model(make)
    assert_computes(model, body, x, outputs(model, x))


def chains(order, count):
    """Equal chains under a concatenation, made in the given order; the last of them is wider."""

    def make():
        start = keras.Input((4,))
        ends = {}
        for chain in order:
            x = start
            for _ in range(3):
                x = kl.Dense(4, activation="tanh")(x)
            ends[chain] = kl.Dense(5 if chain == count - 1 else 6)(x)
        return keras.Model(start, kl.Concatenate()([ends[chain] for chain in range(count)]))

    return make


def test_many_equal_branches_are_told_apart_in_few_trials(monkeypatch):
    count, trials = 4, []
    rng = np.random.default_rng(0)
    complete = branches.Graph.complete
    monkeypatch.setattr(
        branches.Graph, "complete", lambda self, choices: trials.append(1) or complete(self, choices)
    )

    def body(x):
        xs = [x] * count
        for depth in range(4):  # by depth, while Keras's were made chain by chain
            width = [4 if depth < 3 else 5 if i == count - 1 else 6 for i in range(count)]
            xs = [nn.Dense(n)(y) for n, y in zip(width, xs, strict=True)]
            xs = [jnp.tanh(y) for y in xs] if depth < 3 else xs
        return jnp.concatenate(xs, -1)

    model = random_model(chains(rng.permutation(count).tolist(), count))
    x = rng.normal(size=(2, 4)).astype("f")
    assert_computes(model, body, x, outputs(model, x))
    assert len(trials) <= 1 + count * (count + 1) / 2


@pytest.mark.slow
def test_branches_that_cannot_be_matched_do_not_take_forever():
    """Twelve equal chains of which another one is the wide one: few of the ways to pair them are tried."""
    count = 12
    model = random_model(chains(range(count), count))

    def body(x):
        xs = [x] * count
        for _ in range(3):
            xs = [jnp.tanh(nn.Dense(4)(y)) for y in xs]
        return jnp.concatenate([nn.Dense(5 if i == 0 else 6)(y) for i, y in enumerate(xs)], -1)

    with pytest.raises(UserError, match=r"the output of Net: .*concatenate"):
        from_keras(model, Net(body))


def both_ways(x, backward_first):
    def forward():
        return nn.LSTM(4, return_sequences=True)(x)

    def backward():
        return nn.LSTM(4, return_sequences=True)(x[:, ::-1])[:, ::-1]

    parts = [backward(), forward()][::-1] if backward_first else [forward(), backward()]
    return jnp.concatenate(parts, -1)


@pytest.mark.slow
@pytest.mark.parametrize("backward_first", [False, True])
def test_both_directions_in_every_format(backward_first, tmp_path):
    def make():
        both = [kl.Bidirectional(kl.LSTM(4, return_sequences=True)) for _ in range(2)]
        return keras.Sequential([keras.Input((6, 3)), *both, kl.GRU(4), kl.Dense(2)])

    def body(x):
        x = both_ways(both_ways(x, backward_first), backward_first)
        return nn.Dense(2)(nn.GRU(4)(x))

    model = random_model(make)
    x = np.random.default_rng(0).normal(size=(3, 6, 3)).astype("f")
    assert_computes(model, body, x, outputs(model, x))
    assert_all_files_are_alike(model, body, (6, 3), tmp_path)


@pytest.mark.slow
def test_attention_in_every_format(tmp_path):
    """Query, key and value have one shape, and names that depend on the format."""

    def make():
        x = start = keras.Input((5, 8))
        for _ in range(2):
            x = kl.LayerNormalization()(kl.Add()([x, kl.MultiHeadAttention(2, 4)(x, x)]))
        return keras.Model(start, kl.Dense(2)(kl.GlobalAveragePooling1D()(x)))

    def body(x):
        for _ in range(2):
            attention = linen.MultiHeadDotProductAttention(2, qkv_features=8)
            x = linen.LayerNorm(epsilon=1e-3)(x + attention(x, x))
        return nn.Dense(2)(jnp.mean(x, 1))

    model = random_model(make)
    x = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("f")
    assert_computes(model, body, x, outputs(model, x))
    assert_all_files_are_alike(model, body, (5, 8), tmp_path)


def test_a_head_can_be_left_out(tmp_path):
    def make():
        inside = keras.Input((5,))
        backbone = keras.Model(inside, kl.Dense(4, activation="relu", name="inner")(inside), name="backbone")
        start = keras.Input((5,))
        x = kl.Dense(3, name="hidden")(backbone(start))
        return keras.Model(start, kl.Dense(2, name="head")(x))

    model = random_model(make)
    body = lambda x: jax.nn.relu(nn.Dense(4)(x))  # noqa: E731
    for source in every_file(model, tmp_path)[:4]:
        found = from_keras(source, Net(body), (5,), ignore=["hidden", "head"])
        np.testing.assert_array_equal(found["params"]["Dense_0"]["kernel"], model.get_weights()[0])
        found = from_keras(source, Net(lambda x: nn.Dense(2)(nn.Dense(3)(x))), (4,), ignore=["backbone"])
        np.testing.assert_array_equal(found["params"]["Dense_0"]["kernel"], model.get_weights()[4])
    with pytest.raises(
        UserError, match=r"has no layer 'top' with weights to ignore: it has backbone/inner, hidden, head"
    ):
        from_keras(model, Net(body), ignore=["top"])
    with pytest.raises(UserError, match="left over: hidden"):
        from_keras(model, Net(body))
    with pytest.raises(UserError, match="activation relu in Keras, tanh in Dense_1"):
        from_keras(model, Net(lambda x: nn.Dense(3)(jnp.tanh(nn.Dense(4)(x)))), ignore=["head"])
