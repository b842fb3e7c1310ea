"""The pure steps: beside formulas in NumPy, and the same under jit, a mesh, pmap and scan."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from jaxnets import nn
from jaxnets.models import MODELS
from jaxnets.train import make_eval_step, make_state, make_train_step, means
from tests.several_devices import take_devices


def batch_of(size: int, shape: tuple[int, ...], classes: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, *shape)).astype(np.float32)
    return {"x": x, "y": rng.integers(0, classes, size).astype(np.int32), "mask": np.ones(size, np.float32)}


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_one_step_of_a_perceptron_is_the_textbook_formula():
    model, rate = MODELS["perceptron"](), 0.1
    state = make_state(model, optax.sgd(rate), (4,))
    kernel, bias = (np.float64(state.params["head"][name]) for name in ("kernel", "bias"))
    batch = batch_of(8, (4,), 3)
    new, sums = jax.jit(make_train_step(model, optax.sgd(rate)))(state, batch)

    probabilities = softmax(batch["x"] @ kernel + bias)
    error = (probabilities - np.eye(3)[batch["y"]]) / 8
    np.testing.assert_allclose(new.params["head"]["kernel"], kernel - rate * batch["x"].T @ error, rtol=1e-5)
    np.testing.assert_allclose(new.params["head"]["bias"], bias - rate * error.sum(0), rtol=1e-5)
    loss = -np.log(probabilities[np.arange(8), batch["y"]]).mean()
    found = means(sums)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["accuracy"] == (probabilities.argmax(-1) == batch["y"]).mean()
    assert int(new.step) == 1


def test_a_penalty_adds_to_the_loss_and_to_the_gradient():
    model, rate, strength = MODELS["perceptron"](), 0.1, 0.01
    batch = batch_of(8, (4,), 3)

    def penalty(params):
        return strength * jnp.sum(params["head"]["kernel"] ** 2)

    state = make_state(model, optax.sgd(rate), (4,))
    plain, plain_sums = make_train_step(model, optax.sgd(rate))(state, batch)
    with_l2, sums = make_train_step(model, optax.sgd(rate), penalty=penalty)(state, batch)
    kernel = np.asarray(state.params["head"]["kernel"])
    np.testing.assert_allclose(
        with_l2.params["head"]["kernel"],
        plain.params["head"]["kernel"] - rate * 2 * strength * kernel,
        atol=1e-6,
    )
    added = means(sums)["loss"] - means(plain_sums)["loss"]
    assert added == pytest.approx(strength * (kernel**2).sum(), abs=1e-6)


class BatchNormNet(linen.Module):
    """A small network with statistics, for what the large ones would take long to compile.

    Smooth: no rounding decides which way a ReLU goes.
    """

    axis_name: str | None = None

    @linen.compact
    def __call__(self, x, train=False):
        x = nn.Dense(8)(x)
        x = linen.tanh(nn.BatchNorm(axis_name=self.axis_name)(x, train))
        return nn.Dense(3)(x)


def padded(batch: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Fills a batch up with rows of nan and mask 0."""
    more = size - len(batch["y"])
    x = np.concatenate([batch["x"], np.full((more, *batch["x"].shape[1:]), np.nan, np.float32)])
    y = np.concatenate([batch["y"], np.zeros(more, np.int32)])
    return {"x": x, "y": y, "mask": np.concatenate([batch["mask"], np.zeros(more, np.float32)])}


def assert_close(one, other, rtol=2e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), one, other)


def test_a_padded_batch_counts_as_the_smaller_one():
    model, descent = BatchNormNet(), optax.sgd(0.1, momentum=0.9)
    state = make_state(model, descent, (4,))
    step = make_train_step(model, descent)
    batch = batch_of(5, (4,), 3)
    exact, exact_sums = step(state, batch)
    filled = padded(batch, 8)
    filled["x"] = np.nan_to_num(filled["x"], nan=100.0)  # nan would spread through any matrix product
    masked, masked_sums = step(state, filled)
    assert_close(exact.variables, masked.variables)
    assert_close(exact_sums, masked_sums)
    evaluated = make_eval_step(model)(exact.variables, filled)
    assert_close(evaluated, make_eval_step(model)(exact.variables, batch))


def test_the_same_step_under_jit_mesh_pmap_and_scan():
    descent, devices = optax.sgd(0.1, momentum=0.9), take_devices(4)
    model = BatchNormNet()
    start = make_state(model, descent, (4,))
    batches = [padded(batch_of(13, (4,), 3, seed), 16) for seed in range(3)]
    for batch in batches:
        batch["x"] = np.nan_to_num(batch["x"])
    step = make_train_step(model, descent)

    jitted, expected, sums_expected = jax.jit(step), start, []
    for batch in batches:
        expected, sums = jitted(expected, batch)
        sums_expected.append(sums)

    stacked = jax.tree.map(lambda *rows: np.stack(rows), *batches)
    scanned, sums_scanned = jax.jit(lambda state, many: jax.lax.scan(step, state, many))(start, stacked)
    assert_close(scanned, expected)
    assert_close(sums_scanned, jax.tree.map(lambda *rows: jnp.stack(rows), *sums_expected))

    mesh = jax.sharding.Mesh(np.array(devices), ("data",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    meshed = jax.device_put(start, whole)
    for batch in batches:
        meshed, sums = jitted(meshed, jax.device_put(batch, split))
    assert_close(meshed, expected)
    assert_close(sums, sums_expected[-1])

    mapped_step = make_train_step(BatchNormNet(axis_name="devices"), descent, axis_name="devices")
    mapped = jax.pmap(mapped_step, axis_name="devices", in_axes=(None, 0), out_axes=None, devices=devices)
    replica = start
    for batch in batches:
        shards = jax.tree.map(lambda rows: rows.reshape(4, -1, *rows.shape[1:]), batch)
        replica, sums = mapped(replica, shards)
    assert_close(replica, expected)
    assert_close(sums, sums_expected[-1])


@pytest.mark.parametrize("platform", ["cpu", "default"])
@pytest.mark.parametrize("what", ["as it is", "not to learn from", "not finite"])
def test_a_step_learns_from_what_is_sound_and_finite_alone(what, platform, monkeypatch):
    """On CPUs the update stands behind a condition, elsewhere old and new numbers are chosen between."""
    model, descent = MODELS["perceptron"](), optax.adam(0.1)
    state, batch = make_state(model, descent, (4,)), batch_of(8, (4,), 3)
    if what == "not finite":
        batch["x"][3, 1] = np.inf
    if platform == "default":
        monkeypatch.setattr("jaxnets.train.step.by_platform", lambda function: function)
    step = jax.jit(make_train_step(model, descent).conditional)
    new, sums = step(state, batch, what != "not to learn from")
    assert int(new.step) == 1
    assert np.isfinite(float(sums["count"])) == (what != "not finite")
    learned = not np.array_equal(new.params["head"]["kernel"], state.params["head"]["kernel"])
    counted = int(new.opt_state[0].count) == 1
    assert learned == counted == (what == "as it is")


def test_means_of_nothing_are_nan():
    found = means({"loss": jnp.float32(0), "accuracy": jnp.float32(0), "count": jnp.float32(0)})
    assert np.isnan(list(found.values())).all()


def test_the_second_step_does_not_compile_again():
    model, descent = MODELS["perceptron"](), optax.adam(1e-3)
    step = jax.jit(make_train_step(model, descent))
    state = make_state(model, descent, (4,))
    for seed in range(3):
        state, _ = step(state, batch_of(8, (4,), 3, seed))
    assert step._cache_size() == 1


def test_dropout_draws_from_the_run_s_key_and_the_step_number():
    class Noisy(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            return nn.Dropout(0.5)(nn.Dense(64)(x), train)

    model, descent = Noisy(), optax.sgd(0.0)
    batch = batch_of(4, (4,), 64)
    step = jax.jit(make_train_step(model, descent))
    state = make_state(model, descent, (4,))
    after, first = step(state, batch)
    _, again = step(state, batch)
    _, second = step(after, batch)  # same parameters (rate 0), another step
    assert float(first["loss"]) == float(again["loss"])
    assert float(first["loss"]) != float(second["loss"])


def test_activations_computed_again_give_the_same_step():
    model, descent = BatchNormNet(), optax.sgd(0.1)
    state, batch = make_state(model, descent, (4,)), batch_of(8, (4,), 3)
    steps = [make_train_step(model, descent, remat=remat) for remat in (False, True)]
    kept, again = (jax.jit(step)(state, batch) for step in steps)
    assert_close(again, kept)
    found, expected = (str(jax.make_jaxpr(step)(state, batch)) for step in reversed(steps))
    assert "remat" in found or "checkpoint" in found
    assert "remat" not in expected
    assert "checkpoint" not in expected
