"""Keras 3's optimizers, formula for formula; `jaxnets.optim` shows them beside the textbook's.

`learning_rate` is a number or a schedule of the step (counted from 0). Accumulators have the parameters'
shapes and dtypes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from optax import GradientTransformation, ScalarOrSchedule


def sgd(
    learning_rate: ScalarOrSchedule, momentum: float = 0.0, nesterov: bool = False
) -> GradientTransformation:
    """SGD: v <- momentum v - lr g; w <- w + v, or with Nesterov's momentum w <- w + momentum v - lr g.

    The rate is inside the velocity (in `optax.sgd` it is outside), which matters when it changes.
    """
    rate = optax.scale_by_learning_rate(learning_rate)
    return optax.chain(rate, optax.trace(momentum, nesterov)) if momentum else rate


def sgdm(learning_rate: ScalarOrSchedule, momentum: float = 0.9) -> GradientTransformation:
    """SGD with momentum."""
    return sgd(learning_rate, momentum)


def nesterov(learning_rate: ScalarOrSchedule, momentum: float = 0.9) -> GradientTransformation:
    """SGD with Nesterov's momentum."""
    return sgd(learning_rate, momentum, nesterov=True)


def adagrad(
    learning_rate: ScalarOrSchedule, initial: float = 0.1, epsilon: float = 1e-7
) -> GradientTransformation:
    """AdaGrad (Duchi et al. 2011): s <- s + g^2 from `initial`; w <- w - lr g / sqrt(s + epsilon)."""
    return optax.chain(optax.scale_by_rss(initial, epsilon), optax.scale_by_learning_rate(learning_rate))


def rmsprop(
    learning_rate: ScalarOrSchedule, rho: float = 0.9, epsilon: float = 1e-7
) -> GradientTransformation:
    """RMSProp (Hinton's lecture 6e): s <- rho s + (1 - rho) g^2; w <- w - lr g / sqrt(s + epsilon)."""
    return optax.chain(optax.scale_by_rms(rho, epsilon), optax.scale_by_learning_rate(learning_rate))


def adadelta(
    learning_rate: ScalarOrSchedule, rho: float = 0.95, epsilon: float = 1e-7
) -> GradientTransformation:
    """AdaDelta (Zeiler, arXiv 1212.5701): w <- w - lr d with d = g sqrt(a + epsilon) / sqrt(s + epsilon).

    s <- rho s + (1 - rho) g^2 before the step, a <- rho a + (1 - rho) d^2 after it.
    """
    return optax.chain(optax.scale_by_adadelta(rho, epsilon), optax.scale_by_learning_rate(learning_rate))


class AdamState(NamedTuple):
    """The number of steps taken, int32 (), and the first and second moments, trees like the parameters."""

    steps: jax.Array
    mu: optax.Updates
    nu: optax.Updates


def scale_by_keras_adam(beta_1: float, beta_2: float, epsilon: float) -> GradientTransformation:
    """Adam's scaling in Keras: g -> m sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v) + epsilon).

    Epsilon is added to the root of the uncorrected v, so that in the first steps it has up to 30 times the
    effect that it has in `optax.adam`, where it is added to the root of the corrected v.
    """

    def init(params):
        mu, nu = (optax.tree.zeros_like(params) for _ in range(2))
        return AdamState(jnp.zeros([], jnp.int32), mu, nu)

    def update(grads, state, params=None):
        del params
        t = state.steps + 1
        mu = optax.tree.update_moment(grads, state.mu, beta_1, 1)
        nu = optax.tree.update_moment(grads, state.nu, beta_2, 2)
        scale = jnp.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        updates = jax.tree.map(lambda m, v: scale.astype(m.dtype) * m / (jnp.sqrt(v) + epsilon), mu, nu)
        return updates, AdamState(t, mu, nu)

    return GradientTransformation(init, update)


def adam(
    learning_rate: ScalarOrSchedule, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> GradientTransformation:
    """Adam (arXiv 1412.6980): w <- w - lr m sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v) + epsilon)."""
    moments = scale_by_keras_adam(beta_1, beta_2, epsilon)
    return optax.chain(moments, optax.scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: ScalarOrSchedule,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    mask: optax.MaskOrFn = None,
) -> GradientTransformation:
    """AdamW (arXiv 1711.05101): Adam, and w <- w - lr weight_decay w where `mask` is true (default: all)."""
    return optax.chain(
        scale_by_keras_adam(beta_1, beta_2, epsilon),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


class NadamState(NamedTuple):
    """Adam's state, and the product of all momenta so far, ()."""

    steps: jax.Array
    product: jax.Array
    mu: optax.Updates
    nu: optax.Updates


def scale_by_keras_nadam(beta_1: float, beta_2: float, epsilon: float) -> GradientTransformation:
    """Nadam's scaling in Keras, with Dozat's rising momentum u_t = beta_1 (1 - 0.96^t / 2).

    g -> (u_{t+1} m / (1 - U_{t+1}) + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
    with U_t = u_1 u_2 ... u_t.
    """

    def init(params):
        mu, nu = (optax.tree.zeros_like(params) for _ in range(2))
        return NadamState(jnp.zeros([], jnp.int32), jnp.ones([]), mu, nu)

    def update(grads, state, params=None):
        del params
        t = state.steps + 1
        now, following = (beta_1 * (1 - 0.5 * 0.96**u) for u in (t, t + 1))
        product = state.product * now
        of_m = following / (1 - product * following)
        of_g = (1 - now) / (1 - product)
        mu = optax.tree.update_moment(grads, state.mu, beta_1, 1)
        nu = optax.tree.update_moment(grads, state.nu, beta_2, 2)
        corrected = optax.tree.bias_correction(nu, beta_2, t)

        def direction(g, m, v):
            numerator = of_m.astype(m.dtype) * m + of_g.astype(g.dtype) * g
            return numerator / (jnp.sqrt(v) + epsilon)

        return jax.tree.map(direction, grads, mu, corrected), NadamState(t, product, mu, nu)

    return GradientTransformation(init, update)


def nadam(
    learning_rate: ScalarOrSchedule, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> GradientTransformation:
    """Nadam, Adam with Nesterov's momentum (Dozat, ICLR 2016 workshop); see `scale_by_keras_nadam`."""
    moments = scale_by_keras_nadam(beta_1, beta_2, epsilon)
    return optax.chain(moments, optax.scale_by_learning_rate(learning_rate))


def muon(learning_rate: ScalarOrSchedule, **kwargs: Any) -> GradientTransformation:
    """Optax's Muon: orthogonalized momentum for parameters with two or four axes, Adam for all others.

    Dense and recurrent kernels, and embeddings too, have two axes; a convolution kernel (h, w, in, out)
    counts as a matrix (h w in, out). The keywords are those of `optax.contrib.muon`, whose
    `muon_weight_dimension_numbers` changes that choice. Source: Keller Jordan, 2024.
    """

    def shapes(params):
        matrix = optax.contrib.MuonDimensionNumbers
        axes = {2: matrix(0, 1), 4: matrix((0, 1, 2), 3)}
        return jax.tree.map(lambda w: axes.get(w.ndim), params)

    kwargs.setdefault("muon_weight_dimension_numbers", shapes)
    return optax.contrib.muon(learning_rate, **kwargs)


OPTIMIZERS: dict[str, Callable[..., GradientTransformation]] = {
    "sgd": sgd,
    "sgdm": sgdm,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adadelta": adadelta,
    "adam": adam,
    "adamw": adamw,
    "nadam": nadam,
    "muon": muon,
}
