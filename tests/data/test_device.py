"""Resident and streamed batches are one and the same; the memory decides which it is."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import train
from jaxnets.data import ArraySource, Batches, Subset, load
from jaxnets.data.device import gather, on_device, read_all, stored_bytes
from jaxnets.models import MODELS
from tests.rounding import assert_close


@pytest.fixture(scope="module")
def source():
    random = np.random.RandomState(0)
    x = random.randint(0, 256, (23, 6, 5, 3), dtype=np.uint8)
    return ArraySource(x, random.randint(0, 4, 23), list("abcd"), boxes=random.rand(23, 2, 4))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], strict=True)


@pytest.mark.parametrize("shard", [(0, 1), (1, 2)])
def test_resident_and_streamed_batches_are_the_same_bits(source, shard):
    batches = Batches(source, 5, seed=3, shard=shard)
    for epoch in range(2):
        plain = list(batches.epoch(epoch))
        for resident in (True, False):
            feed = on_device(batches, resident)
            arrived = [jax.device_get(jax.jit(gather)(batch)) for batch in feed.epoch(epoch)]
            assert len(arrived) == len(plain) == feed.steps_per_epoch
            for one, other in zip(arrived, plain, strict=True):
                assert_same(one, other)


@pytest.mark.parametrize("resident", [True, False])
def test_resuming_on_the_device(source, resident):
    feed = on_device(Batches(source, 5, seed=3), resident)
    unbroken = [jax.device_get(gather(batch)) for batch in feed.epoch(1)]
    for start in range(len(unbroken)):
        for batch, expected in zip(
            feed.steps(feed.steps_per_epoch + start, 2 * feed.steps_per_epoch), unbroken[start:], strict=True
        ):
            assert_same(jax.device_get(gather(batch)), expected)


def test_a_source_read_by_threads_is_the_source(source):
    rows = np.arange(23)[::-1].copy()
    held = read_all(Subset(source, rows))
    assert_same(held.arrays, source[rows])
    assert held.features == source.features


def test_small_sets_are_resident_and_large_ones_streamed(source, monkeypatch):
    assert stored_bytes(source) == 23 * 6 * 5 * 3
    monkeypatch.setattr("jaxnets.data.device.device_memory", lambda: 23 * 6 * 5 * 3 * 4 + 1)
    assert on_device(Batches(source, 5)).resident is not None
    monkeypatch.setattr("jaxnets.data.device.device_memory", lambda: 23 * 6 * 5 * 3 * 4)
    feed = on_device(Batches(source, 5))
    assert feed.resident is None
    assert on_device(feed) is feed


def test_one_resident_program_serves_every_batch(source):
    calls = []

    @jax.jit
    def step(batch):
        calls.append(1)
        return jnp.sum(gather(batch)["x"].astype(jnp.float32))

    for batch in on_device(Batches(source, 5, seed=0), True).epoch():
        step(batch)
    assert len(calls) == 1


def test_training_resident_and_streamed_ends_with_the_same_parameters():
    iris = load("iris")
    model, optimizer = MODELS["perceptron"](), optax.sgd(0.1)
    ends = []
    for resident in (True, False):
        state = train.make_state(model, optimizer, (4,))
        feed = on_device(Batches(iris.train, 32, seed=0), resident)
        held_out = on_device(Batches(iris.test, 32), resident)
        step, measure = train.make_train_step(model, optimizer), train.make_eval_step(model)
        state, history = train.fit(
            state, step, feed, epochs=3, validation=train.Validation(measure, held_out)
        )
        ends.append((jax.device_get(state.params), history[-1]["loss"], history[-1]["val_loss"]))
    assert_close(*ends, roundings=12 * 32)  # two programs, twelve steps
