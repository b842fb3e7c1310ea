"""Optimizers as Optax chains: OPTIMIZERS holds Keras 3's formulas."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


def sgd(
    learning_rate: optax.ScalarOrSchedule, momentum: float = 0.0, nesterov: bool = False
) -> optax.GradientTransformation:
    """v <- momentum v - lr g; w <- w + v. The rate sits inside the velocity, as in Keras."""
    rate = optax.scale_by_learning_rate(learning_rate)
    return optax.chain(rate, optax.trace(momentum, nesterov)) if momentum else rate


def sgdm(learning_rate: optax.ScalarOrSchedule, momentum: float = 0.9) -> optax.GradientTransformation:
    """SGD with momentum 0.9."""
    return sgd(learning_rate, momentum)


def adagrad(
    learning_rate: optax.ScalarOrSchedule, initial: float = 0.1, epsilon: float = 1e-7
) -> optax.GradientTransformation:
    """s <- s + g^2, from s = 0.1; w <- w - lr g / sqrt(s + epsilon)."""
    return optax.chain(optax.scale_by_rss(initial, epsilon), optax.scale_by_learning_rate(learning_rate))


def rmsprop(
    learning_rate: optax.ScalarOrSchedule, rho: float = 0.9, epsilon: float = 1e-7
) -> optax.GradientTransformation:
    """s <- rho s + (1 - rho) g^2; w <- w - lr g / sqrt(s + epsilon)."""
    return optax.chain(optax.scale_by_rms(rho, epsilon), optax.scale_by_learning_rate(learning_rate))


class AdamState(NamedTuple):
    """Steps taken, first moment, second moment."""

    count: jax.Array
    mu: optax.Updates
    nu: optax.Updates


def scale_by_keras_adam(beta_1: float, beta_2: float, epsilon: float) -> optax.GradientTransformation:
    """m sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v) + epsilon): epsilon beside the uncorrected root."""

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AdamState(jnp.zeros([], jnp.int32), zeros, zeros)

    def update(grads, state, params=None):
        del params
        count = state.count + 1
        mu = optax.tree.update_moment(grads, state.mu, beta_1, 1)
        nu = optax.tree.update_moment(grads, state.nu, beta_2, 2)
        scale = jnp.sqrt(1 - beta_2**count) / (1 - beta_1**count)
        updates = jax.tree.map(lambda m, v: scale.astype(m.dtype) * m / (jnp.sqrt(v) + epsilon), mu, nu)
        return updates, AdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


def adam(
    learning_rate: optax.ScalarOrSchedule, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> optax.GradientTransformation:
    """Adam (arXiv 1412.6980) with Keras's epsilon."""
    moments = scale_by_keras_adam(beta_1, beta_2, epsilon)
    return optax.chain(moments, optax.scale_by_learning_rate(learning_rate))


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": sgd,
    "sgdm": sgdm,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
}
