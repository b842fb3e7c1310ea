from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import sklearn.metrics
from flax import serialization

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
    assert not metrics.top_k_accuracy(jnp.array([[0.0, 9]]), jnp.array([-1]), k=2)  # not the last class
    assert not metrics.top_k_accuracy(jnp.array([[0.0, 9]]), jnp.array([2]), k=2)
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


def test_a_confusion_matrix_leaves_nothing_out_silently():
    labels = np.array([0, 1, 2])
    with pytest.raises(UserError, match="a label of 2: 2 classes are 0 to 1"):
        metrics.confusion_matrix(labels % 2, labels, 2)
    with pytest.raises(UserError, match="a prediction of 2: 2 classes are 0 to 1"):
        metrics.confusion_matrix(labels, labels % 2, 2)
    with pytest.raises(UserError, match="shape"):
        metrics.confusion_matrix(labels[:, None], labels, 3)
    counted = jax.jit(metrics.confusion_matrix, static_argnums=2)(labels, labels, 2)
    np.testing.assert_array_equal(counted, np.eye(2))  # compiled, it cannot look
    assert metrics.confusion_matrix(labels[:0], labels[:0], 2).sum() == 0


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


@pytest.mark.slow
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


def in_parts(metric, outputs, targets, weights=None):
    """A metric of two unequal batches, whose totals are added up and divided once."""
    weights = np.ones(len(targets), np.float32) if weights is None else weights
    measure = jax.jit(lambda outputs, targets, weights: metric(outputs, targets).weighted(weights).added())
    parts = (measure(outputs[part], targets[part], weights[part]) for part in (slice(17), slice(17, None)))
    return jax.tree.map(jnp.add, *parts).result()


def of_keras(metric, targets, predictions, weights=None):
    metric.update_state(targets, predictions, sample_weight=weights)
    return metric.result()


@pytest.mark.slow  # Keras's metrics are hundreds of small programs
def test_totals_with_weights_equal_keras(rng):
    theirs, size = keras.metrics, 50
    bits, scores = rng.integers(0, 2, size), rng.uniform(size=size).astype(np.float32)
    weights = rng.integers(1, 4, size).astype(np.float32)  # Keras rounds those of MeanIoU down
    logits = np.log(scores / (1 - scores))
    pairs = {
        "precision": (metrics.precision, theirs.Precision()),
        "recall": (metrics.recall, theirs.Recall()),
        "roc": (metrics.auc, theirs.AUC()),
        "pr": (partial(metrics.auc, curve="pr", num_thresholds=17), theirs.AUC(17, curve="PR")),
    }
    for name, (ours, their) in pairs.items():
        expected = of_keras(their, bits, scores, weights)
        np.testing.assert_allclose(in_parts(ours, logits, bits, weights), expected, rtol=1e-5, err_msg=name)
    labels, many = rng.integers(0, 4, size), rng.uniform(size=(size, 4)).astype(np.float32)
    one_hot = np.eye(4, dtype=np.float32)[labels]
    for average in ("micro", "macro", "weighted"):
        expected = of_keras(theirs.F1Score(average), one_hot, many, weights)
        np.testing.assert_allclose(
            in_parts(partial(metrics.f1_score, average=average), many, labels, weights), expected, rtol=1e-5
        )
    iou = of_keras(theirs.MeanIoU(4), labels, many.argmax(1), weights)
    np.testing.assert_allclose(in_parts(metrics.mean_iou, many, labels, weights), iou, rtol=1e-5)
    r2 = of_keras(theirs.R2Score(), one_hot, many, weights[:, None])
    np.testing.assert_allclose(in_parts(metrics.r2_score, many, one_hot, weights), r2, rtol=1e-4)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_scores_equal_scikit_learn(rng, average):
    """Labels of four classes, and several labels at once, above thresholds."""
    outputs, labels = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 4, 60)
    several = rng.integers(0, 2, (60, 4))
    for name in ("precision", "recall", "f1"):
        ours = partial(getattr(metrics, "f1_score" if name == "f1" else name), average=average)
        score = partial(getattr(sklearn.metrics, f"{name}_score"), average=average, zero_division=0)
        expected = score(labels, outputs.argmax(1))
        np.testing.assert_allclose(in_parts(ours, outputs, labels), expected, rtol=1e-6)
        np.testing.assert_allclose(in_parts(ours, outputs, several), score(several, outputs > 0), rtol=1e-6)


def test_areas_and_r2_equal_scikit_learn(rng):
    """With a threshold between any two scores the sampled curve is the whole one."""
    scores, bits = rng.permutation(50) / 50 + 0.01, rng.integers(0, 2, 50)
    area = partial(metrics.auc, num_thresholds=201, from_logits=False)
    expected = sklearn.metrics.roc_auc_score(bits, scores)
    np.testing.assert_allclose(in_parts(area, scores.astype(np.float32), bits), expected, rtol=1e-5)
    y, t = rng.normal(size=(2, 50, 3)).astype(np.float32)
    np.testing.assert_allclose(in_parts(metrics.r2_score, y, t), sklearn.metrics.r2_score(t, y), rtol=1e-4)


@pytest.mark.slow
def test_mean_iou_of_pixels_without_those_of_no_class(rng):
    logits, labels = rng.normal(size=(40, 3, 5, 4)).astype(np.float32), rng.integers(0, 3, (40, 3, 5))
    labels[0, 0] = 255
    metric = partial(metrics.mean_iou, ignore_class=255)
    kept = labels != 255
    expected = of_keras(keras.metrics.MeanIoU(4), labels[kept], logits.argmax(-1)[kept])
    np.testing.assert_allclose(in_parts(metric, logits, labels), expected, rtol=1e-5)


def test_binary_accuracy_equals_keras(rng):
    bits, scores = rng.integers(0, 2, (30, 3)), rng.uniform(size=(30, 3)).astype(np.float32)
    for threshold in (0.5, 0.3):
        expected = keras.metrics.binary_accuracy(bits, scores, threshold=threshold)
        ours = metrics.binary_accuracy(scores, bits, threshold)
        np.testing.assert_allclose(ours, np.mean(expected, axis=1), rtol=1e-6)
    logits = np.log(scores / (1 - scores))
    np.testing.assert_array_equal(
        metrics.binary_accuracy(logits, bits), metrics.binary_accuracy(scores, bits, 0.5)
    )


def test_totals_of_nothing_are_0_and_masked_rows_may_hold_anything():
    for metric in (metrics.precision, metrics.recall, metrics.f1_score, metrics.auc):
        assert metrics.measure(metric, jnp.array([-1.0, -2.0]), jnp.array([0, 0])) == 0
    rows = metrics.r2_score(jnp.array([1.0, 2.0, jnp.nan]), jnp.array([1.0, 2.0, 5.0]))
    assert rows.weighted(jnp.array([1.0, 1.0, 0.0])).added().result() == 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.precision(jnp.ones((3, 2)), jnp.ones(3)), "whole numbers"),
        (lambda: metrics.recall(jnp.ones((3, 2)), jnp.ones((3, 3))), "must be the same"),
        (lambda: metrics.f1_score(jnp.ones(3), jnp.ones(3), average="mean"), "one of micro, macro, weighted"),
        (lambda: metrics.auc(jnp.ones(3), jnp.ones(3), curve="ROC"), "one of roc, pr"),
        (lambda: metrics.auc(jnp.ones(3), jnp.ones(3), num_thresholds=1), "2 thresholds or more"),
    ],
)
def test_wrong_input_of_totals_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_totals_are_trees_that_checkpoints_hold():
    """Flax's state dicts are what a checkpoint writes; the function that divides comes from the program."""
    totals = metrics.recall(jnp.array([2.0, -1.0, 3.0]), jnp.array([1, 1, 0])).added()
    kept = serialization.to_state_dict(totals)
    assert sorted(kept["parts"]) == ["false", "hits", "missed"]
    blank = jax.tree.map(jnp.zeros_like, totals)
    assert serialization.from_state_dict(blank, kept).result() == 0.5
