"""The loss of a run by its name, in training and in evaluation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets import losses
from jaxnets.errors import UserError, lookup

DEFAULT = "sparse_categorical_crossentropy"
OF_LOGITS: dict[str, Callable[..., jax.Array]] = {
    DEFAULT: losses.categorical_crossentropy,
    "binary_crossentropy": losses.binary_crossentropy,
    "binary_focal_crossentropy": losses.binary_focal_crossentropy,
    "categorical_focal_crossentropy": losses.categorical_focal_crossentropy,
}
OF_PROBABILITIES: dict[str, Callable[..., jax.Array]] = {
    "mean_squared_error": losses.mean_squared_error,
    "mean_absolute_error": losses.mean_absolute_error,
    "huber": losses.huber,
    "log_cosh": losses.log_cosh,
    "kl_divergence": losses.kl_divergence_from_probabilities,
}
LOSSES = OF_LOGITS | OF_PROBABILITIES


def make_loss(name: str, classes: int, label_smoothing: float = 0.0, *, mixed: bool = False) -> Any:
    """Returns a loss of logits (batch, classes) and labels, (batch,) -> (batch,).

    The cross-entropies are those of the logits, the others compare probabilities, softmax(logits), with
    one-hot labels.

    Args:
        name: A key of `LOSSES`.
        classes: Number of classes.
        label_smoothing: Fraction of a label that is spread evenly over all classes.
        mixed: Whether the targets are proportions of the classes, (batch, classes), instead of labels.

    Raises:
        UserError: If there is no such loss, or it does not smooth labels.

    Examples:
        >>> loss = make_loss("mean_squared_error", 2)
        >>> print(loss(jnp.array([[0.0, 0.0]]), jnp.array([1])))
        [0.25]
    """
    function = lookup(LOSSES, name, "loss")
    if name in OF_LOGITS:
        function = partial(function, label_smoothing=label_smoothing)
    elif label_smoothing:
        raise UserError(
            f"--label-smoothing {label_smoothing} goes with --loss {' or '.join(OF_LOGITS)}, not with {name}"
        )
    if name == DEFAULT and not mixed:
        return partial(losses.sparse_categorical_crossentropy, label_smoothing=label_smoothing)

    def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
        outputs = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        outputs = outputs if name in OF_LOGITS else jax.nn.softmax(outputs)
        return function(outputs, targets if mixed else jax.nn.one_hot(targets, classes, dtype=outputs.dtype))

    return loss
