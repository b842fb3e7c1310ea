"""Held-out parts: the last rows by Keras's rule, stratified ones with scikit-learn's counts."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from jaxnets.data import ArraySource, Subset, split
from jaxnets.errors import UserError


def numbered(size, labels=None):
    labels = np.arange(size) % 3 if labels is None else labels
    return ArraySource(np.arange(size)[:, None].astype(np.float32), labels)


def rows(source):
    return source[np.arange(len(source))]["x"][:, 0].astype(int).tolist()


@pytest.mark.parametrize(
    "held_out, last",
    [(0.2, 3), (np.float32(0.2), 3), (3, 3), (np.int8(3), 3), (0.25, 4), (0.9, 12), (12, 12)],
)
def test_the_last_rows_are_held_out_as_keras_does(held_out, last):
    # keras: split_at = floor(13 * (1 - validation_split)); 13 * .8 = 10.4, 13 * .75 = 9.75, 13 * .1 = 1.3
    train, test = split(numbered(13), held_out)
    assert rows(train) == list(range(13 - last))
    assert rows(test) == list(range(13 - last, 13))


def test_shuffled_parts_are_disjoint_cover_all_and_follow_the_seed():
    parts = [split(numbered(50), 0.3, seed=seed) for seed in (0, 1, 0)]
    for train, test in parts:
        assert len(train) == 35
        assert sorted(rows(train) + rows(test)) == list(range(50))
    assert rows(parts[0][1]) == rows(parts[2][1]) != rows(parts[1][1])
    assert rows(parts[0][1]) != list(range(35, 50))


@pytest.mark.parametrize("seed", [None, 4])
def test_stratified_counts_are_those_of_scikit_learn(seed):
    labels = np.repeat([0, 1, 2, 3], [100, 50, 20, 10])
    train, test = split(numbered(180, labels), 0.2, seed=seed, stratify=True)
    _, expected = train_test_split(labels, test_size=0.2, stratify=labels, random_state=0)
    np.testing.assert_array_equal(np.bincount(test.y), np.bincount(expected))
    assert sorted(rows(train) + rows(test)) == list(range(180))


def test_a_source_that_is_not_in_memory_stays_where_it_is():
    train, test = split(Subset(numbered(12), np.arange(12)[::-1].copy()), 4)
    assert isinstance(test, Subset)
    assert rows(test) == [3, 2, 1, 0]
    assert int(train[0]["x"][0]) == 11


@pytest.mark.parametrize("held_out", [0, 13, 20, 1.0, 0.0, -1, np.nan])
def test_an_empty_part_is_refused(held_out):
    with pytest.raises(UserError, match=f"{held_out} of 13 examples cannot be held out"):
        split(numbered(13), held_out)


@pytest.mark.parametrize("held_out", ["0.2", None])
def test_what_is_no_number_is_refused(held_out):
    with pytest.raises(UserError, match=f"held_out {held_out!r}: it must be a whole number"):
        split(numbered(13), held_out)


def test_numbers_cannot_be_stratified():
    with pytest.raises(UserError, match="stratifying needs classes"):
        split(ArraySource(np.eye(4), np.linspace(0, 1, 4)), 2, stratify=True)
