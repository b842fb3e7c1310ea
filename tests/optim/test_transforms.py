import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

from jaxnets import losses, optim
from jaxnets.errors import UserError


def params_and_grads(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"dense": {"kernel": (4, 3), "bias": (3,)}, "embedding": (5, 2)}
    draw = lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    return tuple(jax.tree.map(draw, shapes, is_leaf=is_shape) for _ in range(2))


def keras_step(params, grads, **kwargs):
    """One step of Keras's SGD(0.5) with the given keywords; the new values, in tree order."""
    leaves, treedef = jax.tree.flatten(params)
    variables = [keras.Variable(leaf) for leaf in leaves]
    keras.optimizers.SGD(0.5, **kwargs).apply(jax.tree.leaves(grads), variables)
    return treedef.unflatten([np.asarray(v.value) for v in variables])


def step(optimizer, params, grads):
    updates, state = optimizer.update(grads, optimizer.init(params), params)
    return optax.apply_updates(params, updates), state


def assert_trees_close(a, b, rtol=1e-6, atol=1e-7):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (optim.clip_by_value(0.3), {"clipvalue": 0.3}),
        (optim.clip_by_norm(0.7), {"clipnorm": 0.7}),
        (optim.clip_by_norm(1e3), {"clipnorm": 1e3}),
        (optim.clip_by_global_norm(1.1), {"global_clipnorm": 1.1}),
        (optim.add_decayed_weights(0.2), {"weight_decay": 0.2}),
    ],
    ids=["value", "norm", "norm not reached", "global norm", "decoupled decay"],
)
@pytest.mark.sampled(2)
def test_one_step_equals_keras(ours, theirs):
    params, grads = params_and_grads()
    new, _ = step(optax.chain(ours, optim.sgd(0.5)), params, grads)
    assert_trees_close(new, keras_step(params, grads, **theirs))


def test_clip_by_norm_of_a_zero_gradient_is_zero():
    updates, _ = step(optim.clip_by_norm(1.0), jnp.zeros(3), jnp.zeros(3))
    np.testing.assert_array_equal(updates, 0)


def test_decoupled_decay_can_be_kept_to_kernels():
    params, _ = params_and_grads()
    decay = optim.add_decayed_weights(0.1, mask=losses.kernels)
    updates, _ = decay.update(jax.tree.map(jnp.zeros_like, params), decay.init(params), params)
    np.testing.assert_allclose(updates["dense"]["kernel"], 0.1 * params["dense"]["kernel"])
    assert not np.any(updates["dense"]["bias"])
    assert not np.any(updates["embedding"])


def test_add_penalty_adds_lambda_w_twice_and_the_sign_to_kernels_alone():
    params, grads = params_and_grads()
    penalty = optim.add_penalty(lambda p: losses.l1_l2_penalty(p, l1=0.3, l2=0.01))
    updates, _ = penalty.update(grads, penalty.init(params), params)
    w, g = params["dense"]["kernel"], grads["dense"]["kernel"]
    np.testing.assert_allclose(updates["dense"]["kernel"], g + 0.3 * jnp.sign(w) + 2 * 0.01 * w, atol=1e-6)
    np.testing.assert_array_equal(updates["dense"]["bias"], grads["dense"]["bias"])
    np.testing.assert_array_equal(updates["embedding"], grads["embedding"])


def regression(count, seed=3):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(count, 4)), jnp.float32), jnp.asarray(rng.normal(size=(count, 3)))


def mean_gradient(params, x, y):
    def loss(p):
        prediction = x @ p["dense"]["kernel"] + p["dense"]["bias"][None]
        return jnp.mean(losses.mean_squared_error(prediction, y)) + jnp.sum(p["embedding"] ** 2)

    return jax.grad(loss)(params)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("cuts", [(8, 16), (3, 17)], ids=["equal", "unequal"])
@pytest.mark.sampled(2)
def test_micro_batches_equal_one_large_batch(cuts, float64):
    """In float64: Adam makes the roundings of a small gradient as large as those of others."""
    params, x, y = (jax.tree.map(jnp.float64, tree) for tree in (params_and_grads()[0], *regression(24)))
    large, micro = optim.adam(0.1), optim.accumulate(optim.adam(0.1), every=3)
    expected, small, large_state, state = params, params, large.init(params), micro.init(params)
    update = jax.jit(micro.update)
    for _ in range(4):
        updates, large_state = large.update(mean_gradient(expected, x, y), large_state, expected)
        expected = optax.apply_updates(expected, updates)
        before = small
        for part, (xs, ys) in enumerate(zip(jnp.split(x, cuts), jnp.split(y, cuts), strict=True)):
            updates, state = update(mean_gradient(small, xs, ys), state, small, weight=len(xs))
            small = optax.apply_updates(small, updates)
            if part < 2:
                assert_trees_close(small, before, rtol=0, atol=0)
    assert_trees_close(small, expected, rtol=1e-10, atol=1e-12)
    assert update._cache_size() == 1


def test_accumulate_rejects_no_micro_batches():
    with pytest.raises(UserError, match="every=0"):
        optim.accumulate(optax.sgd(0.1), every=0)


def test_averaged_weights_equal_keras_ema():
    params, grads = params_and_grads()
    leaves = jax.tree.leaves(params)
    variables = [keras.Variable(leaf) for leaf in leaves]
    theirs = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8)
    ours = optax.chain(optim.sgd(0.5), optim.average_weights(0.8))
    state = ours.init(params)
    for _ in range(5):
        updates, state = ours.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        theirs.apply(jax.tree.leaves(grads), variables)
    theirs.finalize_variable_values(variables)  # Keras writes the average over the weights
    expected = jax.tree.unflatten(jax.tree.structure(params), [np.asarray(v.value) for v in variables])
    assert_trees_close(optim.averaged_weights(state), expected)


@pytest.mark.parametrize("transform", [optim.average_weights(), optim.add_penalty(losses.l1_l2_penalty)])
def test_missing_parameters_are_named(transform):
    params, grads = params_and_grads()
    with pytest.raises(UserError, match="needs the parameters"):
        transform.update(grads, transform.init(params))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("name", ["sgd", "sgdm", "adam"])
def test_accumulation_keeps_the_types_of_the_parameters(name, dtype):
    params, grads = jnp.ones((2, 2), dtype), jnp.full((2, 2), 0.5, dtype)
    optimizer, alone = optim.accumulate(optim.OPTIMIZERS[name](0.1), 2), optim.OPTIMIZERS[name](0.1)
    state = optimizer.init(params)
    for _ in range(2):
        updates, state = optimizer.update(grads, state, params)
        assert updates.dtype == dtype
    expected, _ = alone.update(grads, alone.init(params), params)
    np.testing.assert_allclose(np.float32(updates), np.float32(expected), rtol=1e-2)
