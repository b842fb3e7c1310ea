"""Sources: what they store, what they refuse, and the sets that ship with scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from jaxnets.data import ArraySource, Subset, load, photos
from jaxnets.errors import UserError


def test_bytes_stay_bytes_tokens_stay_whole_and_the_rest_is_float32():
    for x, dtype in ((np.uint8([[1]]), "uint8"), (np.int64([[1]]), "int32"), (np.float64([[1]]), "float32")):
        source = ArraySource(x, np.array([0]))
        assert source.features.dtype == str(source.x.dtype) == dtype
        assert source.x.item() == 1


def test_items_batches_and_subsets():
    source = ArraySource(np.arange(12.0).reshape(6, 2), np.arange(6) % 3, list("abc"), boxes=np.eye(6)[:, :4])
    assert source[4]["x"].tolist() == [8, 9]
    assert source[np.array([5, 0])]["boxes"].tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]
    part = Subset(source, np.array([3, 1, 1]))
    assert part[1]["y"] == 1
    assert part[np.array([0, 2])]["x"].tolist() == [[6, 7], [2, 3]]
    assert part.labels().tolist() == [0, 1, 1]
    assert len(part) == 3


def test_targets_of_a_regression_have_no_classes():
    source = ArraySource(np.eye(3), [0.5, -1.0, 2.0])
    assert source.features.classes == ()
    assert source.y.dtype == np.float32


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.eye(3), [0, 1]), "hold 3 x, 2 y: there must be equally many of each"),
        ((np.zeros((0, 2)), np.zeros(0, int)), "at least one"),
        ((np.eye(2), [0, 3], ["a", "b"]), "labels run from 0 to 3: with 2 classes they must be 0 to 1"),
        ((np.eye(2), [-1, 1]), "labels run from -1 to 1: number the classes from 0, or give floats"),
        ((np.eye(2), ["a", "b"]), "number the classes with `names, y = np.unique"),
        ((np.array([[0], [2**31]]), [0, 1]), "x has numbers that do not fit into int32: give smaller ones"),
        ((np.eye(2), np.array([0, 2**32 + 1])), "y has numbers that do not fit into int32: give smaller"),
        ((np.array([[0.0], [1e39]]), [0, 1]), "x has values that are too large for float32"),
        ((np.array([[0.0], [np.inf]]), [0, 1]), "x has values that are not finite"),
        ((np.eye(2), [-1, 0]), "labels run from -1 to 0"),
        ((np.eye(2), [[0, 1], [1, 0]]), r"labels of shape \(2, 2\)"),
        ((np.array([[np.nan], [1]]), [0, 1]), "x has values that are not finite"),
        ((np.eye(2), ["a", "b"]), "y of shape .* dtype <U1: it must hold numbers"),
        ((np.eye(2), [0, 1], None, 3), "boxes of shape"),
    ],
)
def test_wrong_arrays(arguments, message):
    x, y, classes, boxes = (*arguments, *(None,) * (4 - len(arguments)))
    with pytest.raises(UserError, match=message):
        ArraySource(x, y, classes, **({} if boxes is None else {"boxes": boxes}))


def test_iris_in_the_documents_shuffle():
    # chapter 2: seed 116, shuffle x; seed 116 again, shuffle y; the last 30 rows are the test set
    x, y = load_iris().data.copy(), load_iris().target.copy()
    for rows in (x, y):
        np.random.RandomState(116).shuffle(rows)
    iris = load("iris")
    np.testing.assert_array_equal(iris.train.x, x[:-30].astype(np.float32))
    np.testing.assert_array_equal(iris.test.y, y[-30:])


def test_photos():
    source = photos()
    assert source.features.shape == (427, 640, 3)
    # the top left corner of china.jpg, as any viewer shows it
    assert source[0]["x"][0, 0].tolist() == [174, 201, 231]
    assert source.features.classes == ("china", "flower")
