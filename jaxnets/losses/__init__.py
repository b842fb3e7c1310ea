"""Losses: pure functions of (predictions, targets) with one float32 value per example, shape (batch,).

Classification losses take logits; their `_from_probabilities` forms take the output of a softmax or sigmoid
and clip it to [1e-7, 1 - 1e-7], as Keras does. All axes after the batch axis (time steps, pixels, outputs)
are averaged; `weights` of the examples or of these positions multiply the values before that. `masked_mean`
gives the number to minimize; penalties are added to it. `LOSSES` has those without further arguments by name.
"""

from collections.abc import Callable
from typing import Any

from jaxnets.losses.classification import (
    binary_crossentropy,
    binary_crossentropy_from_probabilities,
    categorical_crossentropy,
    categorical_crossentropy_from_probabilities,
    smooth_labels,
    sparse_categorical_crossentropy,
    sparse_categorical_crossentropy_from_probabilities,
)
from jaxnets.losses.combining import class_weighted, heads, ignore_class, of_head, weighted_sum
from jaxnets.losses.distributions import (
    ctc,
    dice,
    dice_from_probabilities,
    kl_divergence,
    kl_divergence_from_probabilities,
    tversky,
    tversky_from_probabilities,
)
from jaxnets.losses.focal import (
    binary_focal_crossentropy,
    binary_focal_crossentropy_from_probabilities,
    categorical_focal_crossentropy,
    categorical_focal_crossentropy_from_probabilities,
)
from jaxnets.losses.margins import categorical_hinge, hinge, squared_hinge
from jaxnets.losses.penalties import kernels, l1_l2_penalty
from jaxnets.losses.regression import (
    asymmetric_cost,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
)
from jaxnets.losses.values import EPSILON, REDUCTIONS, Weighted, masked_mean, reduce, weigh

LOSSES: dict[str, Callable[..., Any]] = {
    loss.__name__: loss
    for loss in (
        sparse_categorical_crossentropy,
        categorical_crossentropy,
        binary_crossentropy,
        binary_focal_crossentropy,
        categorical_focal_crossentropy,
        kl_divergence,
        mean_squared_error,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_squared_logarithmic_error,
        huber,
        log_cosh,
        poisson,
        cosine_similarity,
        hinge,
        squared_hinge,
        categorical_hinge,
        dice,
        tversky,
        ctc,
    )
}

__all__ = [
    "EPSILON",
    "LOSSES",
    "REDUCTIONS",
    "Weighted",
    "asymmetric_cost",
    "binary_crossentropy",
    "binary_crossentropy_from_probabilities",
    "binary_focal_crossentropy",
    "binary_focal_crossentropy_from_probabilities",
    "categorical_crossentropy",
    "categorical_crossentropy_from_probabilities",
    "categorical_focal_crossentropy",
    "categorical_focal_crossentropy_from_probabilities",
    "categorical_hinge",
    "class_weighted",
    "cosine_similarity",
    "ctc",
    "dice",
    "dice_from_probabilities",
    "heads",
    "hinge",
    "huber",
    "ignore_class",
    "kernels",
    "kl_divergence",
    "kl_divergence_from_probabilities",
    "l1_l2_penalty",
    "log_cosh",
    "masked_mean",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "of_head",
    "poisson",
    "reduce",
    "smooth_labels",
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_from_probabilities",
    "squared_hinge",
    "tversky",
    "tversky_from_probabilities",
    "weigh",
    "weighted_sum",
]
