"""The course's optimizers: w <- w - lr m / sqrt(V), where only m and V differ between them.

There is no epsilon. Where V is 0 the course's scripts divide 0 by 0 (its RMSProp ends in NaN that way, once
a gradient has been 0 long enough for V to underflow); here such a weight is left unchanged.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import GradientTransformation, ScalarOrSchedule

from jaxnets.optim.transforms import keeps_types


def scale_by_moments(first: GradientTransformation, second: GradientTransformation) -> GradientTransformation:
    """Scales g -> m / sqrt(V), where m is `first` applied to g and V is `second` applied to g^2; 0 if V is 0.

    Examples:
        >>> adam = scale_by_moments(optax.ema(0.9), optax.ema(0.999))  # optax.ema divides by 1 - beta^t
    """

    def init(params):
        return first.init(params), second.init(params)

    def update(grads, state, params=None):
        m, of_first = first.update(grads, state[0], params)
        v, of_second = second.update(jax.tree.map(jnp.square, grads), state[1], params)
        updates = jax.tree.map(lambda m, v: jnp.where(v > 0, m / jnp.sqrt(jnp.where(v > 0, v, 1)), 0), m, v)
        return updates, (of_first, of_second)

    return GradientTransformation(init, update)


class NesterovState(NamedTuple):
    """The number of steps taken, int32 (), and the average, a tree like the parameters."""

    steps: jax.Array
    average: optax.Updates


def nesterov_average(beta: float, debias: bool) -> GradientTransformation:
    """Averages m <- beta m + (1 - beta) g, then looks one step ahead: g -> beta m + (1 - beta) g.

    With `debias` (Nadam: Dozat, 2016) m is divided by 1 - beta^(t+1) and g by 1 - beta^t.
    """

    def init(params):
        return NesterovState(jnp.zeros([], jnp.int32), optax.tree.zeros_like(params))

    def update(grads, state, params=None):
        del params
        t = state.steps + 1
        average = optax.tree.update_moment(grads, state.average, beta, 1)
        m, g = average, grads
        if debias:
            m = optax.tree.bias_correction(average, beta, t + 1)
            g = optax.tree.bias_correction(grads, beta, t)
        return optax.tree.update_moment(g, m, beta, 1), NesterovState(t, average)

    return GradientTransformation(init, update)


def _descend(*steps: GradientTransformation) -> Callable[[ScalarOrSchedule], GradientTransformation]:
    return keeps_types(lambda learning_rate: optax.chain(*steps, optax.scale_by_learning_rate(learning_rate)))


_ADAM = scale_by_moments(optax.ema(0.9), optax.ema(0.999))

TEXTBOOK: dict[str, Callable[[ScalarOrSchedule], GradientTransformation]] = {
    "sgd": _descend(),
    "sgdm": _descend(optax.ema(0.9, debias=False)),
    "nesterov": _descend(nesterov_average(0.9, debias=False)),
    "adagrad": _descend(scale_by_moments(optax.identity(), optax.trace(1.0))),  # a trace of 1 is a sum
    "rmsprop": _descend(scale_by_moments(optax.identity(), optax.ema(0.9, debias=False))),
    "adadelta": _descend(optax.scale_by_adadelta(0.95, 1e-6)),
    "adam": _descend(_ADAM),
    "adamw": _descend(_ADAM, optax.add_decayed_weights(0.004)),
    "nadam": _descend(scale_by_moments(nesterov_average(0.9, debias=True), optax.ema(0.999))),
}
