"""The formulations for accelerators compute what the plain operations do; they run on CPUs as well."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import fused, losses
from jaxnets.models import MODELS
from jaxnets.nn.norm import normalize_batch
from jaxnets.nn.operation import formulated, plain_operations
from jaxnets.nn.pool import max_pool
from jaxnets.platforms import by_platform
from jaxnets.train import make_state, make_train_step
from jaxnets.train.step import total

RNG = np.random.default_rng(0)
TABLES = {"gpu": fused.GPU, "tpu": fused.TPU}


def random(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


def both(function, *arguments, table=fused.GPU):
    """The function's value and gradients in the formulations and without, under random cotangents."""

    def run(*arguments):
        value, pull = jax.vjp(function, *arguments)
        cotangents = jax.tree.map(lambda leaf: random(*leaf.shape).astype(leaf.dtype), value)
        return value, pull(cotangents)

    def chosen(*arguments):
        with formulated(table):
            return run(*arguments)

    return jax.jit(chosen)(*arguments), jax.jit(run)(*arguments)


def close(got, expected, tolerance=1e-5):
    """To `tolerance` of each array's largest number."""
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        ours, theirs = (np.asarray(value, np.float64) for value in (ours, theirs))
        largest = max(np.max(np.abs(theirs), initial=0), 1e-3)
        assert np.max(np.abs(ours - theirs), initial=0) <= tolerance * largest


@pytest.mark.parametrize("shape", [(8, 5, 6, 3), (7, 4), (4, 3, 4, 5, 6)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.sampled(4)
def test_batch_norm(shape, masked):
    x, scale, bias = 3 + 2 * random(*shape), 1 + 0.1 * random(shape[-1]), random(shape[-1])
    mask = None
    if masked:
        mask = jnp.ones(shape[0]).at[-2:].set(0)
        x = x.at[-2:].set(50.0)

    def kept(x, scale, bias):
        y, mean, var = normalize_batch(x, scale, bias, 1e-3, mask, None, jnp.full(shape[-1], 2.5))
        return (y if mask is None else y[:-2]), mean, var

    (value, gradients), (expected, wanted) = both(kept, x, scale, bias)
    # Statistics and gradients: two sums, one after the other, with a rounding for each number added up.
    roundings = 2 * np.finfo(np.float32).eps * x.size / shape[-1]
    close(value, expected, roundings)
    close(gradients, wanted, roundings)


def test_statistics_leave_out_what_only_fills_up():
    """It may hold anything, nan included."""
    x = random(4, 3, 3, 2)
    arguments = jnp.ones(2), jnp.zeros(2), 1e-3, jnp.array([1, 1, 1, 0.0]), None, jnp.zeros(2)
    with formulated(fused.GPU):
        _, *found = normalize_batch(x.at[3].set(jnp.nan), *arguments)
    close(found, [jnp.mean(x[:3], (0, 1, 2)), jnp.var(x[:3], (0, 1, 2))])


def test_batch_norm_beside_float64():
    """One pass over x - shift is near to the truth far from zero, too."""
    x = 100 + np.random.default_rng(3).normal(size=(64, 7, 7, 4))
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    arguments = jnp.asarray(x, jnp.float32), jnp.ones(4), jnp.zeros(4), 1e-3, None, None
    with formulated(fused.GPU):
        y, found_mean, found_var = normalize_batch(*arguments, jnp.full(4, 99.0))
    np.testing.assert_allclose(found_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(found_var, var, rtol=2e-5)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-3), atol=1e-4)


def test_batch_norm_of_bfloat16_keeps_what_it_was_given():
    x = random(8, 4, 4, 3).astype(jnp.bfloat16)

    def apply(x, scale, bias):
        return normalize_batch(x, scale, bias, 1e-3, None, None, jnp.zeros(3))[0]

    (value, gradients), (expected, wanted) = both(apply, x, jnp.ones(3), jnp.zeros(3))
    close(value, expected)
    close(gradients[1:], wanted[1:])
    close(gradients[0], wanted[0], 2**-7)  # a rounding to bfloat16
    with formulated(fused.GPU):
        _, kept = jax.eval_shape(partial(jax.vjp, apply), x, jnp.ones(3), jnp.zeros(3))
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(kept) if leaf.shape == x.shape)


@pytest.mark.parametrize("size", [(6, 6), (7, 9)])
@pytest.mark.parametrize("window, strides", [(2, 2), (3, 2), (3, 1), ((2, 3), (2, 3)), (2, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.sampled(5)
def test_max_pool_with_many_ties(size, window, strides, padding):
    x = jnp.asarray(np.random.default_rng(1).integers(0, 3, (2, *size, 3)), jnp.float32)
    got, expected = both(lambda x: max_pool(x, window, strides, padding), x)
    jax.tree.map(np.testing.assert_array_equal, got[0], expected[0])
    close(got[1], expected[1])


def test_total():
    tree = {"a": random(3, 4, 5, 6), "b": random(7), "c": random(2, 3)}
    tree |= {"d": jnp.zeros((0, 3)), "e": jnp.float32(2)}
    (value, gradients), (expected, wanted) = both(lambda tree: total(tree), tree)
    assert abs(value - expected) < 1e-4
    close(gradients, wanted)
    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        with formulated(fused.GPU):
            assert not np.isfinite(total({**tree, "a": tree["a"].at[1, 2, 3, 4].set(bad)}))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ["baseline", "stock_lstm"])
@pytest.mark.sampled(4)
def test_whole_steps(name, table):
    """A training step in the formulations ends where the plain one does, with examples that only fill up."""
    shape = {"baseline": (32, 32, 3), "stock_lstm": (60, 1)}[name]
    model, descent = MODELS[name](), optax.sgd(0.1)
    state = make_state(model, descent, shape)
    batch = {"x": random(8, *shape), "y": jnp.arange(8) % 10, "mask": jnp.ones(8).at[6:].set(0)}
    options = {}
    if name == "stock_lstm":
        batch["y"] = random(8, 1)
        options = {"loss": losses.mean_squared_error, "metrics": {}}

    def run(table):
        with plain_operations() if table is None else formulated(table):
            step = make_train_step(model, descent, **options)
            return jax.jit(step)(state, batch)

    close(run(TABLES[table]), run(None), 1e-4)


@pytest.mark.parametrize("platform, scatters", [("cuda", False), ("tpu", True)])
def test_each_platform_has_its_own(platform, scatters):
    """A pool's gradient is a scatter for TPUs, which have one built in, and elementwise for GPUs."""
    gradient = jax.jit(by_platform(jax.grad(lambda x: jnp.sum(max_pool(x, 2) ** 2))))
    text = jax.export.export(gradient, platforms=[platform])(jnp.ones((2, 4, 4, 3))).mlir_module()
    assert ("select_and_scatter" in text) == scatters
