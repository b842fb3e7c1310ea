"""Recipes: who learns how, beside airbench's update rules; what is filled in and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import data, recipes
from jaxnets.errors import UserError
from jaxnets.models import SpeedNet


@pytest.fixture(scope="module")
def params():
    model = SpeedNet((3, 4, 4), 5)
    x = jnp.zeros((1, 10, 10, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


def test_biases_and_head_move_as_in_airbench(params):
    # PyTorch's SGD on the sum over the batch: g <- B g + (wd/lr) w; v <- .85 v + g; w <- w - lr (g + .85 v)
    batch, decay = 20, 2e-6 * 20
    rates = {"head": 0.67, "block1_bn1": 0.053}
    optimizer = recipes.speed(lambda step: 0.24 * (1 - step / 10), batch)
    state, ours, update = optimizer.init(params), params, jax.jit(optimizer.update)
    at = {"head": ("head", "kernel"), "block1_bn1": ("block1_bn1", "bias")}
    theirs = {name: np.float64(params[layer][key]) for name, (layer, key) in at.items()}
    velocity = dict.fromkeys(theirs, 0.0)
    rng = np.random.default_rng(1)
    for step in range(3):
        grads = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), params)
        updates, state = update(grads, state, ours)
        ours = optax.apply_updates(ours, updates)
        for name, (layer, key) in at.items():
            rate = rates[name]
            g = batch * np.float64(grads[layer][key]) + decay / rate * theirs[name]
            velocity[name] = 0.85 * velocity[name] + g
            theirs[name] = theirs[name] - rate * (1 - step / 10) * (g + 0.85 * velocity[name])
            np.testing.assert_allclose(ours[layer][key], theirs[name], rtol=1e-5, atol=1e-5)


def test_what_is_frozen_stays(params):
    grads = jax.tree.map(np.ones_like, params)
    for whiten in (None, 0.24):
        optimizer = recipes.speed(0.24, 20, whiten)
        updates, _ = jax.jit(optimizer.update)(grads, optimizer.init(params), params)
        still = {
            f"{layer}/{key}"
            for layer, rest in updates.items()
            for key, leaf in rest.items()
            if not leaf.any()
        }
        scales = {f"{layer}/scale" for layer in params if "bn" in layer}
        assert still == scales | {"whiten/kernel"} | ({"whiten/bias"} if whiten is None else set())


def test_the_two_phases_share_one_state(params):
    falling = optax.linear_schedule(0.24, 0.0, 10)
    first, second = (recipes.speed(falling, 20, whiten).init(params) for whiten in (falling, None))
    assert jax.tree.structure(first) == jax.tree.structure(second)


def colour(size: int) -> data.Dataset:
    source = data.ArraySource(np.zeros((size, 8, 8, 3), np.uint8), np.zeros(size, np.int32), ["a", "b"])
    return data.Dataset("grey", source, source)


def test_a_recipe_fills_in_what_is_not_asked_for():
    fast = recipes.choose("fast", colour(1000), epochs=3, model=None)
    assert (fast.model, fast.epochs, fast.batch_size) == ("speednet", 3, 40)
    assert fast.augment == ("alternating_flip=25", "pad_and_crop=2")
    assert recipes.choose("fast", colour(60)).batch_size == 16
    asked = recipes.choose("fast", colour(1000), augment=("shift=0.1",), batch_size=100)
    assert (asked.augment, asked.batch_size) == (("shift=0.1",), 100)
    assert recipes.choose("fast", data.load("digits")).augment == ("pad_and_crop=2",)  # digits have a side
    assert recipes.choose("plain", colour(10)) == recipes.Recipe()
    assert recipes.choose("fast", colour(100_000)).batch_size == 2000


def test_what_is_wrong_is_one_sentence():
    with pytest.raises(UserError, match=r"unknown recipe 'fsat' \(did you mean fast\?\)"):
        recipes.choose("fsat", colour(10))
    with pytest.raises(UserError, match="--recipe fast has no learning rate for --optimizer adam: give one"):
        recipes.choose("fast", colour(10), optimizer="adam")
