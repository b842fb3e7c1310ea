"""Batches of other libraries: made alike, filled up, counted, and read from any step on."""

import itertools

import grain
import numpy as np
import pytest

from jaxnets.data import ArraySource, Batches
from jaxnets.data.iterables import IterableBatches
from jaxnets.errors import UserError


def pairs(count=3, size=4, last=3, start=0):
    """Batches (x, y) of so many rows, the last one smaller; x tells which row it is."""
    rows = np.split(np.arange(start, start + (count - 1) * size + last), range(size, count * size, size))
    return [(some[:, None].astype(np.float64), some % 2) for some in rows]


class Loader:
    """As PyTorch's: has a length, and gives lists of what NumPy can read."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return ([Tensor(x), Tensor(y)] for x, y in self.batches)


class Tensor:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def counted(batch):
    """The rows that count."""
    return batch["x"][batch["mask"] > 0, 0].tolist()


def test_batches_are_filled_up_and_of_the_librarys_types():
    found = list(IterableBatches(pairs()).epoch())
    assert [batch["x"].shape for batch in found] == [(4, 1)] * 3
    assert {key: value.dtype.name for key, value in found[2].items()} == {
        "x": "float32",
        "y": "int32",
        "index": "int32",
        "mask": "float32",
    }
    assert rows(found) == list(range(11))
    assert found[2]["mask"].tolist() == [1, 1, 1, 0]
    assert np.concatenate([batch["index"] for batch in found])[:11].tolist() == list(range(11))


def rows(batches):
    return [row for batch in batches for row in counted(batch)]


@pytest.mark.parametrize(
    "batches",
    [
        pairs(),
        Loader(pairs()),
        [{"x": x, "y": y} for x, y in pairs()],
        [{"image": x, "label": y} for x, y in pairs()],
        lambda epoch: iter(pairs()),
        grain.MapDataset.range(11).map(lambda i: {"x": np.float32([i]), "y": i % 2}).batch(4),
        grain.MapDataset.range(11)
        .map(lambda i: {"x": np.float32([i]), "y": i % 2})
        .batch(4)
        .to_iter_dataset(),
    ],
    ids=["list", "loader", "mappings", "names of TFDS", "function", "grain, map", "grain, iter"],
)
def test_whatever_gives_batches_can_be_read_from_any_step_on(batches):
    stream = IterableBatches(batches, 3)
    whole = [counted(batch) for batch in stream.steps(0, 9)]
    assert [row for batch in whole[:3] for row in batch] == list(range(11))
    assert whole[3:6] == whole[:3]
    for first in (1, 3, 5):
        assert [counted(batch) for batch in stream.steps(first, 9)] == whole[first:]
    assert [counted(batch) for batch in stream.epoch(1)] == whole[:3]


def test_a_function_gets_the_number_of_the_epoch():
    stream = IterableBatches(lambda epoch: pairs(start=100 * epoch), 3)
    assert [counted(batch)[0] for batch in stream.steps(2, 7)] == [8, 100, 104, 108, 200]


def test_bytes_masks_and_more_are_kept():
    images, mask = np.zeros((2, 3, 3, 1), np.uint8), np.array([True, False])
    (batch,) = IterableBatches([{"x": images, "y": [0, 1], "mask": mask, "box": np.ones((2, 4))}]).epoch()
    assert (batch["x"].dtype, batch["box"].shape) == (np.uint8, (2, 4))
    assert batch["mask"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "batches, message",
    [
        (
            iter(pairs()),
            "batches of type list_iterator can be read only once, and every epoch reads them anew: give",
        ),
        (
            7,
            "an object of type int holds no batches: give jaxnets.data.Batches, any iterable",
        ),
        ([(1, 2, 3, 4)], r"a batch is a tuple: it must be a mapping with x and y, or a pair \(x, y\)"),
        ([{"pixels": [1], "y": [1]}], r"a batch is a dict with \['pixels', 'y'\]: it must be a mapping"),
        ([(np.ones((3, 1)), [1, 2])], "a batch holds 3 x, 2 y"),
        ([(np.ones((0, 1)), [])], "a batch holds 0 x, 0 y"),
        ([(np.ones((2, 1)), 1)], r"y of a batch has shape \(\) and dtype int64: it must hold a number"),
        ([(["a"], [1])], "x of a batch has shape .* and dtype <U1: it must hold"),
        ([(np.ones((1, 1)), [2**31])], "y of a batch has numbers that do not fit into int32: give smaller"),
        (pairs()[::-1], "a batch holds 4 examples and the first one 3: the first must have the largest"),
        (lambda epoch: pairs()[:2], "epoch 1 has 2 batches: there must be 3"),
        (Loader([]), "epoch 1 has 0 batches: there must be at least one"),
    ],
)
def test_what_is_wrong_is_one_sentence(batches, message):
    with pytest.raises(UserError, match=message):
        list(itertools.islice(IterableBatches(batches, 3).steps(), 9))


def test_our_own_batches_are_the_same():
    rng = np.random.default_rng(0)
    ours = Batches(ArraySource(rng.normal(size=(11, 2)), rng.integers(0, 2, 11)), 4, seed=1)
    theirs = IterableBatches(
        lambda epoch: ({k: b[k] for k in ("x", "y", "mask")} for b in ours.epoch(epoch)), 3
    )
    for mine, other in zip(ours.steps(2, 8), theirs.steps(2, 8), strict=True):
        for key in ("x", "y", "mask"):
            np.testing.assert_array_equal(mine[key], other[key])
