"""The order of examples, shards, resuming and reading ahead: decided by (seed, epoch) alone."""

import grain
import numpy as np
import pytest

from jaxnets.data import ArraySource, Batches, Features, epoch_order
from jaxnets.errors import UserError


class Slow:
    """A source that is not in memory: 23 examples, each made when it is asked for."""

    features = Features((2,), "float32", tuple("0123456"))

    def __len__(self):
        return 23

    def __getitem__(self, index):
        index = np.asarray(index)
        return {"x": np.stack([index, index**2], -1).astype(np.float32), "y": (index % 7).astype(np.int32)}


@pytest.fixture(scope="module")
def in_memory():
    return ArraySource(**Slow()[np.arange(23)])


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
        assert one[key].dtype == other[key].dtype


def philox(key, counter):
    """Philox4x64-10 as its paper states it (Salmon, Moraes, Dror, Shaw 2011, section 3.4)."""
    mask, (k0, k1), (c0, c1, c2, c3) = 2**64 - 1, key, (counter, 0, 0, 0)
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = second >> 64 ^ c1 ^ k0, second & mask, first >> 64 ^ c3 ^ k1, first & mask
        k0, k1 = k0 + 0x9E3779B97F4A7C15 & mask, k1 + 0xBB67AE8584CAA73B & mask
    return [c0, c1, c2, c3]


def test_order_is_that_of_philox_whatever_numpy_is_installed():
    # the known answer that the paper's authors publish for key 0 and counter 0 (Random123, kat_vectors)
    assert philox((0, 0), 0)[0] == 0x16554D9ECA36314C
    words = [word for counter in (1, 2) for word in philox((3, 2), counter)]
    assert epoch_order(8, seed=3, epoch=2).tolist() == sorted(range(8), key=words.__getitem__)


def test_every_example_once_an_epoch_and_epochs_differ():
    orders = [epoch_order(1000, 7, epoch) for epoch in range(3)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert (orders[0] != orders[1]).mean() > 0.99
    assert (epoch_order(1000, 8, 0) != orders[0]).mean() > 0.99
    assert epoch_order(10, -1, 0).tolist() == epoch_order(10, -1, 0).tolist()


def test_drawn_with_replacement_is_uniform():
    draws = np.concatenate([epoch_order(50, 0, epoch, replacement=True) for epoch in range(2000)])
    counts = np.bincount(draws, minlength=50)
    # chi squared with 49 degrees of freedom: all but two seeds in a million lie within 15.3 to 111.1
    assert 15.3 < ((counts - 2000) ** 2 / 2000).sum() < 111.1
    # an epoch of N draws leaves (1 - 1/N)^N of the examples out: 36.4% of 50, with a deviation of 4.4%
    distinct = [len(set(epoch_order(50, 0, epoch, replacement=True))) for epoch in range(200)]
    assert 1 - np.mean(distinct) / 50 == pytest.approx(0.364, abs=5 * 0.044 / 200**0.5)


def test_last_batch_is_filled_up_and_masked(in_memory):
    batches = Batches(in_memory, 5)
    assert batches.steps_per_epoch == 5
    *_, last = batches.epoch()
    assert last["mask"].tolist() == [1, 1, 1, 0, 0]
    assert last["index"].tolist() == [20, 21, 22, 20, 20]
    np.testing.assert_array_equal(last["x"][:, 0], [20, 21, 22, 20, 20])
    assert {key: value.dtype.name for key, value in last.items()} == {
        "x": "float32",
        "y": "int32",
        "index": "int32",
        "mask": "float32",
    }


@pytest.mark.parametrize("shards", [1, 2, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_at_any_step_gives_the_same_next_batches(in_memory, shards, workers):
    for which in range(1 if workers else shards):  # starting processes takes the time: one shard will do
        known = Batches(in_memory, 6, seed=1, shard=(which, shards))
        unbroken = [batch for epoch in (0, 1) for batch in known.epoch(epoch)]
        resumed = Batches(Slow(), 6, seed=1, shard=(which, shards), workers=workers)
        for step in range(len(unbroken)):
            epoch, start = divmod(step, resumed.steps_per_epoch)
            for ahead, batch in enumerate(resumed.epoch(epoch, start)):
                same(batch, unbroken[step + ahead])


@pytest.mark.parametrize("task", [1, 7, 512])
def test_steps_run_through_all_epochs_however_many_are_read_at_once(in_memory, monkeypatch, task):
    monkeypatch.setattr("jaxnets.data.sampler.TASK_EXAMPLES", task)
    unbroken = [batch for epoch in range(4) for batch in Batches(in_memory, 6, seed=1).epoch(epoch)]
    for first in range(9):
        endless = Batches(Slow(), 6, seed=1).steps(first)
        for batch, expected in zip(endless, unbroken[first:], strict=False):
            same(batch, expected)
        assert len(list(Batches(Slow(), 6, seed=1).steps(first, 10))) == 10 - first


@pytest.mark.parametrize("shards", [1, 2, 4, 5])
def test_shards_are_disjoint_and_cover_the_batch(in_memory, shards):
    whole = list(Batches(in_memory, 6, seed=0).epoch(3))
    parts = [list(Batches(in_memory, 6, seed=0, shard=(which, shards)).epoch(3)) for which in range(shards)]
    for step, batch in enumerate(whole):
        rows = [part[step] for part in parts]
        assert len({len(row["mask"]) for row in rows}) == 1
        joined = {key: np.concatenate([row[key] for row in rows]) for key in batch}
        real = joined["mask"] > 0
        for key in batch:
            np.testing.assert_array_equal(joined[key][real], batch[key][batch["mask"] > 0])


def test_stopping_early_and_errors_in_a_source(monkeypatch):
    class Broken(Slow):
        def __getitem__(self, index):
            if 7 in np.asarray(index):
                raise UserError("example 7 is broken")
            return super().__getitem__(index)

    monkeypatch.setattr("jaxnets.data.sampler.TASK_EXAMPLES", 5)
    batches = Batches(Broken(), 5)
    reader = batches.epoch()
    assert next(reader)["index"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="example 7"):
        next(reader)
    reader = batches.epoch()
    next(reader)
    reader.close()


def test_sources_are_sources_of_grain_too(in_memory):
    for source in (in_memory, Slow()):
        rows = list(grain.MapDataset.source(source).batch(4))
        np.testing.assert_array_equal(rows[2]["x"][:, 0], [8, 9, 10, 11])


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"batch_size": 0}, "batch size 0: it must be a whole number, at least 1"),
        ({"batch_size": 32.0}, "batch size 32.0: it must be a whole number"),
        ({"batch_size": 5, "seed": 1.5}, "seed 1.5: it must be a whole number"),
        ({"batch_size": 2, "shard": (2, 2)}, "shard 2 of 2: it must be 0 to 1"),
        ({"batch_size": 2, "replacement": True}, "needs a seed"),
    ],
)
def test_wrong_settings(in_memory, wrong, message):
    with pytest.raises(UserError, match=message):
        Batches(in_memory, **wrong)
