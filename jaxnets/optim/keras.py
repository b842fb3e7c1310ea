"""Keras 3's optimizers, formula for formula; `jaxnets.optim` shows them beside the textbook's.

`learning_rate` is a number or a schedule of the step (counted from 0). Accumulators have the parameters'
shapes and dtypes, and gradients are cast to these. `weight_decay` is decoupled: w <- w - lr weight_decay w
before the step; `with_weight_decay` does the same for some of the parameters only.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from optax import GradientTransformation, ScalarOrSchedule

from jaxnets.optim.moments import (
    scale_by_keras_adafactor,
    scale_by_keras_adam,
    scale_by_keras_adamax,
    scale_by_keras_nadam,
)
from jaxnets.optim.transforms import is_used, keeps_types, with_weight_decay


def _descend(
    direction: GradientTransformation, learning_rate: ScalarOrSchedule, weight_decay: float = 0.0
) -> GradientTransformation:
    descent = optax.chain(direction, optax.scale_by_learning_rate(learning_rate))
    return with_weight_decay(descent, learning_rate, weight_decay)


@keeps_types
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> GradientTransformation:
    """SGD: v <- momentum v - lr g; w <- w + v, or with Nesterov's momentum w <- w + momentum v - lr g.

    The rate is inside the velocity (in `optax.sgd` it is outside), which matters when it changes.
    """
    rate = optax.scale_by_learning_rate(learning_rate)
    descent = optax.chain(rate, optax.trace(momentum, nesterov)) if is_used(momentum) else rate
    return with_weight_decay(descent, learning_rate, weight_decay)


def sgdm(
    learning_rate: ScalarOrSchedule, momentum: float = 0.9, weight_decay: float = 0.0
) -> GradientTransformation:
    """SGD with momentum."""
    return sgd(learning_rate, momentum, weight_decay=weight_decay)


def nesterov(
    learning_rate: ScalarOrSchedule, momentum: float = 0.9, weight_decay: float = 0.0
) -> GradientTransformation:
    """SGD with Nesterov's momentum."""
    return sgd(learning_rate, momentum, nesterov=True, weight_decay=weight_decay)


@keeps_types
def adagrad(
    learning_rate: ScalarOrSchedule, initial: float = 0.1, epsilon: float = 1e-7, weight_decay: float = 0.0
) -> GradientTransformation:
    """AdaGrad (Duchi et al. 2011): s <- s + g^2 from `initial`; w <- w - lr g / sqrt(s + epsilon)."""
    return _descend(optax.scale_by_rss(initial, epsilon), learning_rate, weight_decay)


@keeps_types
def rmsprop(
    learning_rate: ScalarOrSchedule,
    rho: float = 0.9,
    epsilon: float = 1e-7,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float = 0.0,
) -> GradientTransformation:
    """RMSProp (Hinton's lecture 6e): s <- rho s + (1 - rho) g^2; w <- w - lr g / sqrt(s + epsilon).

    Centered, it divides by the spread instead: sqrt(s - a^2 + epsilon) with a <- rho a + (1 - rho) g. With
    momentum: v <- momentum v + lr g / sqrt(...); w <- w - v.
    """
    scale = optax.scale_by_stddev if centered else optax.scale_by_rms
    descent = _descend(scale(rho, epsilon), learning_rate)
    if is_used(momentum):
        descent = optax.chain(descent, optax.trace(momentum))
    return with_weight_decay(descent, learning_rate, weight_decay)


@keeps_types
def adadelta(
    learning_rate: ScalarOrSchedule, rho: float = 0.95, epsilon: float = 1e-7, weight_decay: float = 0.0
) -> GradientTransformation:
    """AdaDelta (Zeiler, arXiv 1212.5701): w <- w - lr d with d = g sqrt(a + epsilon) / sqrt(s + epsilon).

    s <- rho s + (1 - rho) g^2 before the step, a <- rho a + (1 - rho) d^2 after it.
    """
    return _descend(optax.scale_by_adadelta(rho, epsilon), learning_rate, weight_decay)


@keeps_types
def lion(
    learning_rate: ScalarOrSchedule, beta_1: float = 0.9, beta_2: float = 0.99, weight_decay: float = 0.0
) -> GradientTransformation:
    """Lion (arXiv 2302.06675): w <- w - lr sign(beta_1 m + (1 - beta_1) g).

    After the step m <- beta_2 m + (1 - beta_2) g.
    """
    return _descend(optax.scale_by_lion(beta_1, beta_2), learning_rate, weight_decay)


@keeps_types
def lamb(
    learning_rate: ScalarOrSchedule,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> GradientTransformation:
    """LAMB (arXiv 1904.00962): steps d of Adam, each variable's scaled to w <- w - lr d |w| / |d|.

    Where a norm is 0 the ratio is 1. The weight decay comes before the step, as in Keras; in the paper it is
    part of d.
    """
    direction = optax.chain(optax.scale_by_adam(beta_1, beta_2, epsilon), optax.scale_by_trust_ratio())
    return _descend(direction, learning_rate, weight_decay)


@keeps_types
def adam(
    learning_rate: ScalarOrSchedule,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    weight_decay: float = 0.0,
) -> GradientTransformation:
    """Adam (arXiv 1412.6980): w <- w - lr m sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v) + epsilon).

    With `amsgrad` (Reddi et al., ICLR 2018) v is the largest so far of each second moment.
    """
    moments = scale_by_keras_adam(beta_1, beta_2, epsilon, amsgrad)
    return _descend(moments, learning_rate, weight_decay)


@keeps_types
def adamw(
    learning_rate: ScalarOrSchedule,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    mask: optax.MaskOrFn = None,
    amsgrad: bool = False,
) -> GradientTransformation:
    """AdamW (arXiv 1711.05101): Adam, and w <- w - lr weight_decay w where `mask` is true (default: all)."""
    return optax.chain(
        scale_by_keras_adam(beta_1, beta_2, epsilon, amsgrad),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


@keeps_types
def adamax(
    learning_rate: ScalarOrSchedule,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> GradientTransformation:
    """Adamax (arXiv 1412.6980): w <- w - lr m / (1 - beta_1^t) / (u + epsilon), u <- max(beta_2 u, |g|)."""
    return _descend(scale_by_keras_adamax(beta_1, beta_2, epsilon), learning_rate, weight_decay)


@keeps_types
def nadam(
    learning_rate: ScalarOrSchedule,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    schedule_decay: float = 1.0,
    weight_decay: float = 0.0,
) -> GradientTransformation:
    """Nadam, Adam with Nesterov's momentum (Dozat, ICLR 2016 workshop); see `scale_by_keras_nadam`."""
    moments = scale_by_keras_nadam(beta_1, beta_2, epsilon, schedule_decay)
    return _descend(moments, learning_rate, weight_decay)


@keeps_types
def adafactor(
    learning_rate: ScalarOrSchedule,
    beta_2_decay: float = -0.8,
    epsilon_1: float = 1e-30,
    epsilon_2: float = 1e-3,
    clip_threshold: float = 1.0,
    weight_decay: float = 0.0,
) -> GradientTransformation:
    """Adafactor (arXiv 1804.04235): w <- w - max(epsilon_2, rms(w)) min(lr, 1 / sqrt(t)) d.

    See `scale_by_keras_adafactor` for d. (Keras's `relative_step` changes nothing: the rate is at most
    1 / sqrt(t) with it and without.)
    """
    direction = scale_by_keras_adafactor(beta_2_decay, epsilon_1, epsilon_2, clip_threshold)

    def rate(step):
        given = learning_rate(step) if callable(learning_rate) else learning_rate
        return jnp.minimum(given, jax.lax.rsqrt(jnp.asarray(step + 1, float)))

    return with_weight_decay(_descend(direction, rate), learning_rate, weight_decay)


@keeps_types
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
    "adamax": adamax,
    "nadam": nadam,
    "adafactor": adafactor,
    "lion": lion,
    "lamb": lamb,
    "muon": muon,
}
