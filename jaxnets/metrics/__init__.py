"""Metrics: pure functions that a training step adds up over batches, and that are divided once, at the end.

Most have one value per example, whose sum is divided by the number of examples. Those that are no mean return
`Totals`, rows of counts with the function that divides their sums; `make_train_step` takes both. Regression
errors, confusion matrix and average precision are functions of many examples together; their `mask` (N,) of
0/1 excludes padding. `METRICS` has those for a step by name.
"""

from collections.abc import Callable
from typing import Any

from jaxnets.metrics.curves import auc, r2_score
from jaxnets.metrics.examples import (
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    confusion_matrix,
    intersection_over_union,
    label_accuracy,
    regression_errors,
    top_k_accuracy,
)
from jaxnets.metrics.ranking import (
    average_precision,
    interpolated_average_precision,
    maximum_precisions,
    mean_average_precision,
)
from jaxnets.metrics.totals import Totals, f1_score, mean_iou, mean_of, measure, precision, recall

METRICS: dict[str, Callable[..., Any]] = {
    metric.__name__: metric
    for metric in (
        accuracy,
        categorical_accuracy,
        top_k_accuracy,
        binary_accuracy,
        precision,
        recall,
        f1_score,
        auc,
        mean_iou,
        r2_score,
    )
}

__all__ = [
    "METRICS",
    "Totals",
    "accuracy",
    "auc",
    "average_precision",
    "binary_accuracy",
    "categorical_accuracy",
    "confusion_matrix",
    "f1_score",
    "interpolated_average_precision",
    "intersection_over_union",
    "label_accuracy",
    "maximum_precisions",
    "mean_average_precision",
    "mean_iou",
    "mean_of",
    "measure",
    "precision",
    "r2_score",
    "recall",
    "regression_errors",
    "top_k_accuracy",
]
