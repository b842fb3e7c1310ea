from fractions import Fraction

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import metrics
from jaxnets.errors import UserError
from tests.rounding import ROUNDING


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_accuracies_equal_keras(rng):
    logits, labels = rng.normal(size=(40, 7)).astype(np.float32), rng.integers(0, 7, 40)
    one_hot = np.eye(7, dtype=np.float32)[labels]
    theirs = keras.metrics
    np.testing.assert_array_equal(
        metrics.accuracy(logits, labels), theirs.sparse_categorical_accuracy(labels, logits)
    )
    np.testing.assert_array_equal(
        metrics.categorical_accuracy(logits, one_hot), theirs.categorical_accuracy(one_hot, logits)
    )
    for k in (1, 3, 5, 7):
        np.testing.assert_array_equal(
            metrics.top_k_accuracy(logits, labels, k),
            theirs.sparse_top_k_categorical_accuracy(labels, logits, k=k),
        )
    assert not metrics.top_k_accuracy(jnp.full((1, 7), jnp.nan), labels[:1])
    assert metrics.top_k_accuracy(jnp.array([[0, jnp.inf]]), jnp.array([1]), k=1)  # overflown, and right
    predicted = logits.argmax(-1)
    np.testing.assert_array_equal(metrics.label_accuracy(predicted, labels), predicted == labels)


def test_regression_errors_equal_keras_and_leave_the_masked_out(rng):
    predictions, targets = rng.normal(size=(2, 30, 3)).astype(np.float32)
    mask = np.arange(30) < 21
    ours = metrics.regression_errors(predictions, targets, mask.astype(np.float32))
    for name, metric in {
        "mse": keras.metrics.MeanSquaredError(),
        "rmse": keras.metrics.RootMeanSquaredError(),
        "mae": keras.metrics.MeanAbsoluteError(),
    }.items():
        metric.update_state(targets[mask], predictions[mask])
        # a sum of 63 positive numbers is off by a rounding of itself for each at most, here and there
        np.testing.assert_allclose(ours[name], metric.result(), rtol=2 * 64 * ROUNDING)


@pytest.mark.parametrize("metric", [metrics.regression_errors, metrics.label_accuracy])
def test_a_column_beside_a_row_is_refused_not_broadcast(metric):
    with jax.numpy_rank_promotion("allow"), pytest.raises(UserError, match=r"\(3, 1\) and targets \(3,\)"):
        metric(jnp.ones((3, 1)), jnp.ones(3))


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.bfloat16])
def test_regression_errors_of_narrow_types(dtype):
    found = metrics.regression_errors(jnp.ones(1001, dtype), jnp.full(1001, 2, dtype))
    assert {name: float(value) for name, value in found.items()} == {"mse": 1.0, "rmse": 1.0, "mae": 1.0}


def test_confusion_matrix_counts_pairs(rng):
    labels, predicted = rng.integers(0, 4, (2, 50))
    mask = rng.integers(0, 2, 50)
    expected = np.zeros((4, 4))
    for label, prediction, counted in zip(labels, predicted, mask, strict=True):
        expected[label, prediction] += counted
    np.testing.assert_array_equal(metrics.confusion_matrix(predicted, labels, 4, mask), expected)


def test_documented_mean_average_precision():
    """The course's eleven precisions at recalls 0, 0.1 ... 1."""
    precisions = jnp.array([0.91, 0.94, 0.96, 0.94, 0.95, 0.92, 0.80, 0.60, 0.45, 0.20, 0.10])
    best = metrics.maximum_precisions(precisions)
    np.testing.assert_allclose(best, [0.96] * 3 + [0.95] * 2 + [0.92, 0.80, 0.60, 0.45, 0.20, 0.10])
    value = metrics.interpolated_average_precision(precisions, jnp.linspace(0, 1, 11))
    assert f"{value:.4f}" == "0.7136"


def exact_average_precision(scores, positive, total, points):
    """PASCAL VOC's and COCO's rule in exact fractions: no rounding can move a recall past a level."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    found, curve = 0, []
    for seen, i in enumerate(order, 1):
        found += int(positive[i])
        curve.append((Fraction(found, total), Fraction(found, seen)))
    levels = [Fraction(i, points - 1) for i in range(points)]
    best = [max((p for r, p in curve if r >= level), default=Fraction(0)) for level in levels]
    return float(sum(best) / points)


@pytest.mark.parametrize("points", [11, 101])
@pytest.mark.parametrize("missed", [0, 4])
def test_average_precision_in_exact_fractions(rng, points, missed):
    average_precision = jax.jit(metrics.average_precision, static_argnames="points")
    for _ in range(20):
        scores = rng.permutation(60).astype(np.float32)
        positive = rng.integers(0, 2, 60)
        mask = np.arange(60) < 50
        total = int(positive[mask].sum()) + missed
        value = average_precision(scores, positive, mask * 1.0, points=points, num_positives=total)
        expected = exact_average_precision(scores[mask], positive[mask], total, points)
        np.testing.assert_allclose(value, expected, rtol=(points + 8) * ROUNDING)


def test_mean_average_precision_is_over_the_classes_that_occur(rng):
    scores = rng.permutation(120).reshape(40, 3).astype(np.float32)
    labels = rng.integers(0, 2, (40, 3)) * np.array([[1, 1, 0]])
    each = [exact_average_precision(scores[:, c], labels[:, c], labels[:, c].sum(), 101) for c in (0, 1)]
    value = metrics.mean_average_precision(scores, labels, points=101)
    np.testing.assert_allclose(value, np.mean(each), rtol=(101 + 8) * ROUNDING)
    assert metrics.mean_average_precision(scores, 0 * labels) == 0


def test_intersection_over_union_is_a_count_of_cells():
    """Beside boxes filled in on a grid; the last pair has one the wrong way round."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 11, (50, 2, 2, 2))
    boxes, others = np.sort(corners, axis=2).reshape(50, 2, 4).transpose(1, 0, 2).astype(np.float32)
    expected = []
    for pair in zip(boxes.astype(int), others.astype(int), strict=True):
        filled = np.zeros((2, 10, 10), bool)
        for layer, (top, left, bottom, right) in zip(filled, pair, strict=True):
            layer[top:bottom, left:right] = True
        expected.append(filled.all(0).sum() / max(filled.any(0).sum(), 1))
    measured = metrics.intersection_over_union(jnp.asarray(boxes), jnp.asarray(others))
    np.testing.assert_allclose(measured, expected, rtol=1e-6)
    assert 0 < np.mean(np.array(expected) > 0) < 1
    backwards = metrics.intersection_over_union(jnp.array([5.0, 5, 2, 2]), jnp.array([0.0, 0, 9, 9]))
    assert backwards == 0
    with pytest.raises(UserError, match="must be the same"):
        metrics.intersection_over_union(jnp.zeros((3, 4)), jnp.zeros(4))
