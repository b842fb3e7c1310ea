"""Frozen parameters stay, cost nothing, and the rest learns as in Keras; thawing forgets nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from flax import linen

from jaxnets import losses, nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras
from jaxnets.optim import OPTIMIZERS
from jaxnets.summary.jaxpr import multiply_adds
from jaxnets.train import Checkpoints, make_eval_step, make_state, make_train_step
from jaxnets.train.freeze import carry_over, freeze, select


class Net(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        x = linen.tanh(nn.BatchNorm(name="norm")(nn.Dense(5, name="first")(x), train))
        x = nn.BatchNorm(name="live")(nn.Dense(5, use_bias=False, name="second")(x), train)
        return nn.Dense(3, name="head")(x)


def batch(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 3, 8)
    return {"x": x, "y": y, "mask": np.ones(8, np.float32)}


def run(model, optimizer, state, seeds):
    step = jax.jit(make_train_step(model, optimizer))
    for seed in seeds:
        state, _ = step(state, batch(seed))
    return state


def assert_trees_close(a, b, rtol=1e-5):
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=rtol, atol=1e-6), a, b)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
@pytest.mark.parametrize("name", ["sgdm", "adam"])
@pytest.mark.sampled(2)
def test_trains_as_keras_with_layers_that_are_not_trainable(name):
    layers = keras.layers
    oracle = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, name="first", trainable=False),
            layers.BatchNormalization(name="norm", trainable=False),
            layers.Activation("tanh"),
            layers.Dense(
                5, use_bias=False, name="second"
            ),  # whose gradient were rounding noise before a norm
            layers.BatchNormalization(name="live"),
            layers.Dense(3, name="head"),
        ]
    )
    rng = np.random.default_rng(7)
    for variable in oracle.weights:
        variable.assign(np.abs(rng.normal(1, 0.3, variable.shape)))
    variables = from_keras(oracle, Net())
    model, optimizer = freeze(Net(), OPTIMIZERS[name](0.05), variables["params"], ["first", "norm"])
    state = run(model, optimizer, make_state(model, optimizer, (4,), variables=variables), range(4))

    keras_optimizer = {"sgdm": keras.optimizers.SGD(0.05, momentum=0.9), "adam": keras.optimizers.Adam(0.05)}[
        name
    ]
    oracle.compile(keras_optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with jax.numpy_rank_promotion("allow"):
        for seed in range(4):
            data = batch(seed)
            oracle.train_on_batch(data["x"], data["y"])
    assert_trees_close({"params": state.params, **state.model_state}, from_keras(oracle, Net()))
    for kept in ("first", "norm"):
        jax.tree.map(np.testing.assert_array_equal, state.params[kept], variables["params"][kept])
    jax.tree.map(
        np.testing.assert_array_equal,
        state.model_state["batch_stats"]["norm"],
        variables["batch_stats"]["norm"],
    )
    assert not np.allclose(
        state.model_state["batch_stats"]["live"]["mean"], variables["batch_stats"]["live"]["mean"]
    )


def test_optimizer_remembers_nothing_of_frozen_parameters():
    params = Net().init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
    _, optimizer = freeze(Net(), OPTIMIZERS["adam"](0.1), params, ["first", "norm", "second/kernel"])
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(optimizer.init(params)) if leaf.size > 1)
    free = [5, 5, 15, 3]  # live/scale, live/bias, head
    assert sizes == sorted(2 * free)  # Adam's two moments


def test_no_gradient_is_computed_for_frozen_layers():
    model = linen.Sequential([nn.Dense(4, use_bias=False) for _ in range(3)])
    params = model.init(jax.random.key(0), jnp.zeros((1, 4)))["params"]

    def products(patterns):
        frozen, _ = freeze(model, optax.sgd(0.1), params, patterns)
        gradient = jax.grad(lambda p, x: jnp.sum(frozen.apply({"params": p}, x)))
        program = jax.make_jaxpr(gradient)(params, jnp.ones((1, 4)))
        return sum(count for _, count in multiply_adds(program.jaxpr)) / 16

    assert products([]) == 3 + 3 + 2  # forward, kernels, and back through two layers
    assert products(["layers_0", "layers_1"]) == 3 + 1
    assert products(["layers_0", "layers_1", "layers_2"]) == 3


def test_decay_and_clipping_see_the_free_parameters_only():
    params = {"a": {"kernel": jnp.array([3.0, 4.0])}, "b": {"kernel": jnp.array([6.0, 8.0])}}
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.add_decayed_weights(0.5), optax.sgd(1.0))
    _, optimizer = freeze(Net(), chain, params, ["b"])
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_allclose(updates["a"]["kernel"], [-0.6 - 1.5, -0.8 - 2.0], rtol=1e-6)
    np.testing.assert_array_equal(updates["b"]["kernel"], [0.0, 0.0])


def test_thawing_keeps_what_the_optimizer_remembers():
    params = {"a": jnp.array([1.0]), "b": jnp.array([2.0])}
    grads = {"a": jnp.array([1.0]), "b": jnp.array([10.0])}
    momentum = optax.sgd(0.1, momentum=0.5)
    _, part = freeze(Net(), momentum, params, ["b"])
    state = part.init(params)
    for _ in range(2):
        _, state = part.update(grads, state, params)
    _, whole = freeze(Net(), momentum, params, [])
    state = carry_over(state, whole.init(params))
    updates, state = whole.update(grads, state, params)
    np.testing.assert_allclose(updates["a"], [-0.1 * (1 + 0.5 * (1 + 0.5))], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [-0.1 * 10], rtol=1e-6)
    # and freezing again drops the memory of that part alone
    _, other = freeze(Net(), momentum, params, ["a"])
    state = carry_over(state, other.init(params))
    updates, state = other.update(grads, state, params)
    np.testing.assert_array_equal(updates["a"], [0.0])
    np.testing.assert_allclose(updates["b"], [-0.1 * 10 * 1.5], rtol=1e-6)


def test_adam_goes_on_counting_when_thawed():
    params = {"a": jnp.array([1.0]), "b": jnp.array([2.0])}
    _, part = freeze(Net(), OPTIMIZERS["adam"](0.1), params, ["b"])
    state = part.init(params)
    for _ in range(3):
        _, state = part.update(params, state, params)
    _, whole = freeze(Net(), OPTIMIZERS["adam"](0.1), params, [])
    thawed = carry_over(state, whole.init(params))
    old, new = ([leaf for leaf in jax.tree.leaves(s) if leaf.ndim == 0] for s in (state, thawed))
    assert [int(count) for count in new] == [int(count) for count in old]
    assert 3 in [int(count) for count in new]


def test_frozen_state_is_saved_and_restored(tmp_path):
    params = Net().init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
    model, optimizer = freeze(Net(), OPTIMIZERS["adam"](0.1), params, ["first"])
    state = run(model, optimizer, make_state(model, optimizer, (4,)), range(2))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(2, state)
        checkpoints.wait()
        restored, _ = checkpoints.restore(state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_patterns():
    params = Net().init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
    nested = {"backbone": params, "second": params["second"]}

    def chosen(*patterns):
        return {"/".join(path) for path in select(nested, patterns)}

    assert chosen("backbone/first") == {"backbone/first/kernel", "backbone/first/bias"}
    assert chosen("backbone/first/bias", "second/") == {"backbone/first/bias", "second/kernel"}
    assert len(chosen("backbone")) == 9
    assert chosen("*/scale") == {"backbone/norm/scale", "backbone/live/scale"}
    assert chosen("backbone/[fs]*/kernel") == {"backbone/first/kernel", "backbone/second/kernel"}
    assert chosen() == set()
    with pytest.raises(
        UserError, match="no parameter matches 'backbone/frist': did you mean 'backbone/first'"
    ):
        select(nested, ["backbone/frist"])
    assert "sec" not in {path[0] for path in select(nested, ["second"])}
    with pytest.raises(UserError, match="no parameter matches 'sec'"):
        select(nested, ["sec"])


def test_learning_goes_on_where_only_the_backbone_is_frozen():
    variables = Net().init(jax.random.key(0), jnp.zeros((1, 4)))
    model, optimizer = freeze(
        Net(), OPTIMIZERS["sgd"](0.5), variables["params"], ["first", "norm", "second", "live"]
    )
    state = make_state(model, optimizer, (4,), variables=variables)
    data = batch(0)

    def loss(state):
        logits = Net().apply(state.variables, data["x"])
        return float(jnp.mean(losses.sparse_categorical_crossentropy(logits, data["y"])))

    after = run(model, optimizer, state, [0] * 20)
    assert loss(after) < loss(state) - 0.1
    jax.tree.map(np.testing.assert_array_equal, after.model_state, state.model_state)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
def test_the_penalty_is_of_what_learns_as_in_keras():
    layers, l2 = keras.layers, keras.regularizers.L2(0.1)
    oracle = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, name="first", kernel_regularizer=l2, trainable=False),
            layers.Dense(3, name="head", kernel_regularizer=l2),
        ]
    )

    class Two(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            return nn.Dense(3, name="head")(nn.Dense(5, name="first")(x))

    network = Two()
    variables = from_keras(oracle, network)
    penalty = partial(losses.l1_l2_penalty, l2=0.1)
    model, optimizer = freeze(network, optax.sgd(0.1), variables["params"], ["first"])
    state = make_state(model, optimizer, (4,), variables=variables)
    data = batch(0)
    step = make_train_step(model, optimizer, penalty=penalty)
    _, sums = jax.jit(step)(state, data)
    judged = make_eval_step(model, penalty=penalty)(variables, data)
    oracle.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with jax.numpy_rank_promotion("allow"):
        expected = oracle.evaluate(data["x"], data["y"], verbose=0)
    for found in (sums, judged):
        assert float(found["loss"] / found["count"]) == pytest.approx(expected, rel=1e-5)
