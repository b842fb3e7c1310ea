"""Our metrics inside Keras's: functions of one value per example by name, classes by their totals."""

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras.src.losses.loss import squeeze_or_expand_to_same_rank
from keras.src.metrics import accuracy_metrics

from jaxnets import metrics
from tests.keras_suite.adapter import array, exchange, given, refuse, snake, use

NEUTRAL = {"name", "dtype"}
# Keras's classes whose numbers come from a loss or a function above, or that are the machinery of all.
OF_FUNCTIONS = {"Metric", "Mean", "Sum", "MeanMetricWrapper", "Accuracy", "BinaryAccuracy"}
OF_FUNCTIONS |= {"CategoricalAccuracy", "SparseCategoricalAccuracy", "TopKCategoricalAccuracy"}
OF_FUNCTIONS |= {"SparseTopKCategoricalAccuracy", "Hinge", "SquaredHinge", "CategoricalHinge", "KLDivergence"}
OF_FUNCTIONS |= {"Poisson", "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"}
OF_FUNCTIONS |= {"MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "LogCoshError"}
OF_FUNCTIONS |= {"MeanSquaredLogarithmicError", "CosineSimilarity"}


def _precision(metric: Any, settings: dict[str, Any]) -> Any:
    threshold = settings.pop("thresholds", 0.5)
    if not isinstance(threshold, (int, float, type(None))):
        refuse(f"{type(metric).__name__}(thresholds={threshold!r})")
    ours = vars(metrics)[snake(type(metric).__name__)]
    return partial(ours, threshold=0.5 if threshold is None else threshold)


def _f1(metric: Any, settings: dict[str, Any]) -> Any:
    average = settings.pop("average", None) or refuse(f"{type(metric).__name__}(average=None)")
    if settings.pop("beta", 1.0) != 1.0:
        refuse("FBetaScore(beta=...)")
    return partial(metrics.f1_score, average=average, threshold=settings.pop("threshold", None))


def _auc(metric: Any, settings: dict[str, Any]) -> Any:
    curve = settings.pop("curve", "ROC").lower()
    if curve not in ("roc", "pr"):
        refuse(f"AUC(curve={curve!r})")
    settings.pop("thresholds", None)
    if metric._thresholds_distributed_evenly is False:
        refuse("AUC(thresholds=...)")
    steps = settings.pop("num_thresholds", 200)
    return partial(
        metrics.auc, curve=curve, num_thresholds=steps, from_logits=settings.pop("from_logits", False)
    )


def _iou(metric: Any, settings: dict[str, Any]) -> Any:
    classes, ignored = settings.pop("num_classes"), settings.pop("ignore_class", None)
    labelled = metric.sparse_y_true, metric.sparse_y_pred
    settings.pop("sparse_y_true", None), settings.pop("sparse_y_pred", None)

    def mean_iou(y_pred: Any, y_true: Any) -> Any:
        y_true = y_true if labelled[0] else jnp.argmax(y_true, axis=-1)
        y_pred = jax.nn.one_hot(y_pred, classes) if labelled[1] else y_pred
        return metrics.mean_iou(y_pred, y_true.astype(jnp.int32), ignored)

    return mean_iou


def _r2(metric: Any, settings: dict[str, Any]) -> Any:
    return metrics.r2_score


COUNTERPARTS = {"Precision": _precision, "Recall": _precision, "F1Score": _f1, "FBetaScore": _f1}
COUNTERPARTS |= {"AUC": _auc, "MeanIoU": _iou, "OneHotMeanIoU": _iou, "R2Score": _r2}


def install() -> None:
    """Puts our metrics into Keras's modules; classes without a counterpart refuse when they are made."""
    for name, (ours, binary) in {
        "binary_accuracy": (metrics.binary_accuracy, True),
        "categorical_accuracy": (metrics.categorical_accuracy, False),
        "sparse_categorical_accuracy": (metrics.accuracy, False),
        "sparse_top_k_categorical_accuracy": (metrics.top_k_accuracy, False),
    }.items():
        exchange(getattr(accuracy_metrics, name), _function(name, ours, binary))
    for name, kind in vars(keras.metrics).items():
        if not isinstance(kind, type) or name in OF_FUNCTIONS or kind.__name__ in OF_FUNCTIONS:
            continue
        if name in COUNTERPARTS:
            kind.update_state, kind.result, kind.reset_state = _update, _result, _reset
            kind.__init__ = _checked(kind.__init__, name)
        else:
            kind.__init__ = _refusing(kind.__init__, kind, name)


def _function(name: str, ours: Any, binary: bool) -> Any:
    def metric(
        y_true: Any, y_pred: Any, threshold: float = 0.5, k: int = 5, from_sorted_ids: bool = False
    ) -> Any:
        if from_sorted_ids:
            refuse(f"metric {name}(from_sorted_ids=True)")
        use(name)
        y_true, y_pred = array(y_true), array(y_pred)
        if binary:
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
            return ours(y_pred.reshape(-1), y_true.reshape(-1), threshold).reshape(y_pred.shape)
        rows = y_pred.shape[:-1]
        flat = y_pred.reshape(-1, y_pred.shape[-1])
        if name.startswith("sparse"):
            y_true = y_true.astype(jnp.int32).reshape(-1)
        else:
            y_true = y_true.reshape(flat.shape)
        values = ours(flat, y_true, k) if "top_k" in name else ours(flat, y_true)
        return values.reshape(rows).astype(keras.config.floatx())

    metric.__name__ = name
    return metric


def _checked(init: Any, name: str) -> Any:
    def checked(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        if type(self).__name__ != name:
            return
        settings = given(self, NEUTRAL)
        self._ours, self._totals = COUNTERPARTS[name](self, settings), None
        for key, value in settings.items():
            refuse(f"{name}({key}={value!r})")

    checked.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
    return checked


def _refusing(init: Any, kind: type, name: str) -> Any:
    def refusing(self: Any, *arguments: Any, **options: Any) -> None:
        if type(self) is kind:
            refuse(f"metric {name}")
        init(self, *arguments, **options)

    return refusing


def _update(self: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
    use(type(self).__name__)
    y_true, y_pred = array(y_true), array(y_pred)
    weights = None if sample_weight is None else array(sample_weight, "float32")
    if type(self).__name__ in ("Precision", "Recall", "AUC"):  # every number is an example
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        if weights is not None:
            weights = weights.reshape(weights.shape + (1,) * (y_pred.ndim - weights.ndim))
            weights = jnp.broadcast_to(weights, y_pred.shape).reshape(-1)
        y_true, y_pred = y_true.reshape(-1), y_pred.reshape(-1)
    elif "IoU" in type(self).__name__:
        y_true, y_pred = (
            rows.reshape(-1, *rows.shape[rows.ndim - wide :])
            for rows, wide in (
                (y_true, type(self).__name__.startswith("OneHot")),
                (y_pred, not getattr(self, "sparse_y_pred", True)),
            )
        )
        weights = None if weights is None else weights.reshape(-1)
    rows = self._ours(y_pred, y_true)
    if weights is not None:
        if weights.ndim > 1:
            weights = weights.reshape(len(weights), -1)[:, 0]
        rows = rows.weighted(jnp.broadcast_to(weights, (len(y_pred),)))
    added = rows.added()
    self._totals = added if self._totals is None else jax.tree.map(jnp.add, self._totals, added)


def _result(self: Any) -> Any:
    return jnp.zeros(()) if self._totals is None else self._totals.result()


def _reset(self: Any) -> None:
    self._totals = None
