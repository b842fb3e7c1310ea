"""What Keras's adaptive optimizers divide a gradient by, where Optax computes something else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import GradientTransformation


class AdamState(NamedTuple):
    """The number of steps taken, int32 (), and the first and second moments, trees like the parameters."""

    steps: jax.Array
    mu: optax.Updates
    nu: optax.Updates


class AmsgradState(NamedTuple):
    """Adam's state, and the largest second moments so far."""

    steps: jax.Array
    mu: optax.Updates
    nu: optax.Updates
    largest: optax.Updates


def _zeros(params: optax.Params, count: int) -> list[optax.Updates]:
    return [optax.tree.zeros_like(params) for _ in range(count)]


def scale_by_keras_adam(
    beta_1: float, beta_2: float, epsilon: float, amsgrad: bool = False
) -> GradientTransformation:
    """Adam's scaling in Keras: g -> m sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v) + epsilon).

    Epsilon is added to the root of the uncorrected v, so that in the first steps it has up to 30 times the
    effect that it has in `optax.adam`, where it is added to the root of the corrected v. With `amsgrad`, v is
    the largest so far, also uncorrected.
    """

    def init(params):
        steps = jnp.zeros([], jnp.int32)
        return AmsgradState(steps, *_zeros(params, 3)) if amsgrad else AdamState(steps, *_zeros(params, 2))

    def update(grads, state, params=None):
        del params
        t = state.steps + 1
        mu = optax.tree.update_moment(grads, state.mu, beta_1, 1)
        nu = optax.tree.update_moment(grads, state.nu, beta_2, 2)
        largest = jax.tree.map(jnp.maximum, state.largest, nu) if amsgrad else nu
        scale = jnp.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        updates = jax.tree.map(lambda m, v: scale.astype(m.dtype) * m / (jnp.sqrt(v) + epsilon), mu, largest)
        return updates, AmsgradState(t, mu, nu, largest) if amsgrad else AdamState(t, mu, nu)

    return GradientTransformation(init, update)


def scale_by_keras_adamax(beta_1: float, beta_2: float, epsilon: float) -> GradientTransformation:
    """Adamax's scaling in Keras: g -> m / (1 - beta_1^t) / (u + epsilon) with u <- max(beta_2 u, |g|).

    In `optax.adamax` epsilon is added to |g| instead.
    """

    def init(params):
        return AdamState(jnp.zeros([], jnp.int32), *_zeros(params, 2))

    def update(grads, state, params=None):
        del params
        t = state.steps + 1
        mu = optax.tree.update_moment(grads, state.mu, beta_1, 1)
        nu = jax.tree.map(lambda u, g: jnp.maximum(beta_2 * u, jnp.abs(g)), state.nu, grads)
        scale = 1 / (1 - beta_1**t)
        updates = jax.tree.map(lambda m, u: scale.astype(m.dtype) * m / (u + epsilon), mu, nu)
        return updates, AdamState(t, mu, nu)

    return GradientTransformation(init, update)


class NadamState(NamedTuple):
    """Adam's state, and the product of all momenta so far, ()."""

    steps: jax.Array
    product: jax.Array
    mu: optax.Updates
    nu: optax.Updates


def scale_by_keras_nadam(
    beta_1: float, beta_2: float, epsilon: float, schedule_decay: float = 1.0
) -> GradientTransformation:
    """Nadam's scaling in Keras, with Dozat's rising momentum u_t = beta_1 (1 - 0.96^(schedule_decay t) / 2).

    g -> (u_{t+1} m / (1 - U_{t+1}) + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
    with U_t = u_1 u_2 ... u_t. The momentum of Keras 3 and of TensorFlow from 2.11 rises within a hundred
    steps, with a schedule_decay of 1; that of TensorFlow to 2.10, and of the paper, takes 250 times as many,
    with 0.004.
    """
    base = 0.96**schedule_decay

    def init(params):
        mu, nu = _zeros(params, 2)
        return NadamState(jnp.zeros([], jnp.int32), jnp.ones([]), mu, nu)

    def update(grads, state, params=None):
        del params
        t = state.steps + 1
        now, following = (beta_1 * (1 - 0.5 * base**u) for u in (t, t + 1))
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


class AdafactorState(NamedTuple):
    """The number of steps taken, int32 (), and averaged squares of the gradient.

    Of a matrix (..., m, n), or a stack of them, only the means of its rows, (..., m), and of its columns,
    (..., n), are kept; of a vector everything, as `rows`, with `columns` of shape ().
    """

    steps: jax.Array
    rows: optax.Updates
    columns: optax.Updates


def scale_by_keras_adafactor(
    beta_2_decay: float, epsilon_1: float, epsilon_2: float, clip_threshold: float
) -> GradientTransformation:
    """Adafactor's scaling in Keras: g -> max(epsilon_2, rms(w)) d / max(1, rms(d) / clip_threshold).

    d = g / sqrt(v), where v averages g^2 + epsilon_1 with weight 1 - t^beta_2_decay for the past. Of matrices
    v is the product of its rows' and columns' averages, divided by the mean of the rows'. `optax.adafactor`
    factors large matrices only, and its two largest axes instead of the last two.
    """

    def init(params):
        rows = jax.tree.map(lambda w: jnp.zeros(w.shape[:-1] if w.ndim > 1 else w.shape, w.dtype), params)
        columns = jax.tree.map(
            lambda w: jnp.zeros((*w.shape[:-2], w.shape[-1]) if w.ndim > 1 else (), w.dtype), params
        )
        return AdafactorState(jnp.zeros([], jnp.int32), rows, columns)

    def update(grads, state, params):
        t = state.steps + 1
        past = 1 - jnp.asarray(t, float) ** beta_2_decay
        squares = jax.tree.map(lambda g: jnp.square(g) + epsilon_1, grads)

        def average(before, now):
            kept = past.astype(before.dtype)
            return kept * before + (1 - kept) * now

        def of_rows(r, s):
            return average(r, jnp.mean(s, axis=-1) if s.ndim > 1 else s)

        def of_columns(c, s):
            return average(c, jnp.mean(s, axis=-2)) if s.ndim > 1 else c

        rows = jax.tree.map(of_rows, state.rows, squares)
        columns = jax.tree.map(of_columns, state.columns, squares)

        def direction(g, r, c, w):
            v = r
            if g.ndim > 1:
                v = (r / jnp.mean(r, axis=-1, keepdims=True))[..., None] * c[..., None, :]
            d = g / jnp.sqrt(v)
            return d * (jnp.maximum(epsilon_2, _rms(w)) / jnp.maximum(1, _rms(d) / clip_threshold))

        return jax.tree.map(direction, grads, rows, columns, params), AdafactorState(t, rows, columns)

    return GradientTransformation(init, update)


def _rms(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.square(x)))
