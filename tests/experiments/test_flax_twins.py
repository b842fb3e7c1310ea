"""experiments/benchmarks/flax_twins.py: networks as large as ours, and a training step that learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.benchmarks import suite
from experiments.benchmarks.flax_twins import FLAX_MODELS, ConvNet, abstract_state, make_state, make_step
from jaxnets.models import INPUT_SHAPES, MODELS

# Flax's GRU has no recurrent bias for its two gates; the layers have 80 and 100 units.
FEWER = {"stock_gru": 2 * (80 + 100)}
SGD = optax.sgd(0.1)


def sizes(variables):
    """Numbers in every collection."""
    return {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in variables.items()}


def test_every_network_of_the_benchmarks_has_a_twin():
    assert set(suite.NETWORKS) <= set(FLAX_MODELS) <= set(MODELS)


@pytest.mark.parametrize("name", FLAX_MODELS)
@pytest.mark.sampled(3)
def test_twins_have_as_many_parameters_and_outputs(name):
    shape = INPUT_SHAPES[name]
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    init = MODELS[name]().init_with_output
    output, variables = jax.eval_shape(init, jax.random.key(0), example)
    ours = {"batch_stats": 0, **sizes(variables)}
    model = FLAX_MODELS[name](dtype=jnp.bfloat16)
    state = abstract_state(model, SGD, shape)
    twin = {"params": state.params, "batch_stats": state.batch_stats}
    assert sizes(twin) == ours | {"params": ours["params"] - FEWER.get(name, 0)}
    assert {leaf.dtype for leaf in jax.tree.leaves(twin)} == {jnp.dtype("float32")}
    its = jax.eval_shape(model.apply, twin, example)
    assert (its.shape, its.dtype) == (output.shape, jnp.bfloat16)


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
def test_a_step_learns_one_batch(name):
    shape, model, rng = INPUT_SHAPES[name], FLAX_MODELS[name](), np.random.default_rng(0)
    start = abstract_state(model, SGD, shape)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.05, leaf.shape).astype(np.float32), start.params)
    state = start.replace(step=0, params=params, key=jax.random.key(0))
    x = rng.integers(0, 256, (16, *shape), dtype=np.uint8)
    batch = {"x": x, "y": np.arange(16, dtype=np.int32) % 10}
    step, losses = jax.jit(make_step(model, SGD)), []
    for _ in range(10):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0]
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state.params))
    assert 0 <= metrics["accuracy"] <= 1
    assert state.step == 10


def test_a_regressor_descends_on_its_squared_error():
    """From zeros: the loss is the mean of y^2, and d/db mean (b - y)^2 = -2 mean y = -4."""
    model = FLAX_MODELS["mlp"](num_classes=1)
    state = make_state(model, SGD, (3,))
    state = state.replace(params=jax.tree.map(jnp.zeros_like, state.params))
    batch = {"x": np.ones((2, 3), np.float32), "y": np.array([[1.0], [3.0]], np.float32)}
    state, metrics = jax.jit(make_step(model, SGD, regression=True))(state, batch)
    assert metrics == {"loss": 5.0}
    np.testing.assert_allclose(state.params["Dense_1"]["bias"], [0.4], rtol=1e-6)


def test_a_step_compiled_from_shapes_moves_statistics_and_draws_its_dropout_anew():
    model, shape = ConvNet((((2, 1, "SAME"),),), batch_norm=True, conv_dropout=0.5), (4, 4, 3)
    state = make_state(model, SGD, shape)
    x = np.random.default_rng(0).normal(3, 2, (64, 4, 4, 3)).astype(np.float32)
    batch = {"x": x, "y": np.zeros(64, np.int32)}
    step = jax.jit(make_step(model, SGD)).lower(abstract_state(model, SGD, shape), batch).compile()
    first, metrics = step(state, batch)
    assert step(state, batch)[1] == metrics
    assert step(state.replace(step=1), batch)[1]["loss"] != metrics["loss"]
    means = x.mean((0, 1, 2)) @ np.asarray(state.params["Conv_0"]["kernel"])[0, 0]
    running = first.batch_stats["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(running, 0.01 * means, rtol=1e-3, atol=1e-5)  # it started at 0
