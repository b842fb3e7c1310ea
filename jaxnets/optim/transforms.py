"""Transformations around an optimizer: clipping, penalties, decay, accumulation, averaged weights.

All are Optax transformations, to be combined with `optax.chain`:

    optax.chain(clip_by_global_norm(1.0), OPTIMIZERS["adam"](1e-3), average_weights(0.999))
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp
import optax
from optax import GradientTransformation

from jaxnets.errors import UserError

clip_by_value = optax.clip  # every element into [-limit, limit]; Keras's clipvalue
clip_by_global_norm = optax.clip_by_global_norm  # the whole gradient to this length; Keras's global_clipnorm
add_decayed_weights = optax.add_decayed_weights  # decoupled decay: comes before the learning rate


P = ParamSpec("P")


def keeps_types(make: Callable[P, GradientTransformation]) -> Callable[P, GradientTransformation]:
    """Makes a factory's optimizers cast gradients to the parameters' types, and keep those of the state.

    Without it bfloat16 parameters with float32 gradients would have a float32 state after their first step,
    and the second would be compiled anew.
    """

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> GradientTransformation:
        inner = make(*args, **kwargs)

        def update(grads, state, params=None):
            if params is not None:
                grads = jax.tree.map(_as, grads, params)
            updates, new = inner.update(grads, state, params)
            return updates, jax.tree.map(_as, new, state)

        return GradientTransformation(inner.init, update)

    return made


def _as(now: jax.Array, before: jax.Array) -> jax.Array:
    return now if now.dtype == before.dtype else now.astype(before.dtype)


class DecayState(NamedTuple):
    """The state of the decay, which counts steps if the learning rate is a schedule, and the wrapped one."""

    decay: optax.OptState
    inner: optax.OptState


def is_used(setting: float) -> bool:
    """Returns whether a setting has an effect; `optax.inject_hyperparams` makes arrays, which may change."""
    return isinstance(setting, jax.Array) or setting != 0


def with_weight_decay(
    optimizer: GradientTransformation,
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: float,
    mask: optax.MaskOrFn = None,
) -> GradientTransformation:
    """Takes the optimizer's step from w - learning_rate weight_decay w; Keras's `weight_decay`.

    Args:
        optimizer: An optimizer, with the learning rate inside.
        learning_rate: The same learning rate, a number or a schedule.
        weight_decay: The decay; the number 0 returns the optimizer itself.
        mask: A tree of booleans, or a function that makes one of the parameters, such as `losses.kernels`:
            which of them decay. By default all.

    Raises:
        UserError: If the decay is negative, or `update` is called without the parameters.
    """
    if not is_used(weight_decay):
        return optimizer
    if not isinstance(weight_decay, jax.Array) and not weight_decay >= 0:
        raise UserError(f"a weight decay of {weight_decay}: it must be 0 or more")
    decay = optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.scale_by_learning_rate(learning_rate)
    )

    def init(params):
        return DecayState(decay.init(params), optimizer.init(params))

    def update(grads, state, params=None):
        if params is None:
            raise UserError("weight decay needs the parameters: call update(grads, state, params)")
        shrinking, decayed = decay.update(optax.tree.zeros_like(params), state.decay, params)
        updates, inner = optimizer.update(grads, state.inner, optax.apply_updates(params, shrinking))
        return jax.tree.map(jnp.add, updates, shrinking), DecayState(decayed, inner)

    return GradientTransformation(init, update)


def clip_by_norm(limit: float) -> GradientTransformation:
    """Scales the gradient of each variable separately to norm `limit` at most; Keras's clipnorm."""

    def clip(g):
        return g * limit / jnp.maximum(jnp.linalg.norm(g.ravel()), limit)

    return optax.stateless(lambda grads, params: jax.tree.map(clip, grads))


def add_penalty(penalty: Callable[[Any], jax.Array]) -> GradientTransformation:
    """Adds the gradient of penalty(params), as if it were part of the loss, for steps whose loss is fixed.

    Examples:
        >>> from functools import partial
        >>> from jaxnets import losses
        >>> l2 = add_penalty(partial(losses.l1_l2_penalty, l2=0.01))  # adds 0.02 * w to kernels' gradients
        >>> optimizer = optax.chain(l2, optax.sgd(0.1))
    """

    def add(grads, params):
        if params is None:
            raise UserError("add_penalty needs the parameters: call update(grads, state, params)")
        return jax.tree.map(jnp.add, grads, jax.grad(penalty)(params))

    return optax.stateless(add)


class AccumulateState(NamedTuple):
    """The number of micro-batches so far, their weight, their weighted gradient, and the wrapped state."""

    gathered: jax.Array
    weight: jax.Array
    total: optax.Updates
    inner: optax.OptState


def accumulate(optimizer: GradientTransformation, every: int) -> optax.GradientTransformationExtraArgs:
    """Takes one step per `every` updates with the mean gradient: micro-batches count as one large batch.

    Between the steps the updates are zeros and the wrapped state is unchanged. Micro-batches with different
    numbers of examples are given a `weight`: update(grads, state, params, weight=mask.sum()), where grads is
    the gradient of the mean over that micro-batch.

    Raises:
        UserError: If `every` is less than 1.
    """
    if every < 1:
        raise UserError(f"accumulate over every={every} micro-batches: it must be 1 or more")
    inner = optax.with_extra_args_support(optimizer)

    def init(params):
        zeros = optax.tree.zeros_like(params)
        return AccumulateState(jnp.zeros([], jnp.int32), jnp.zeros([]), zeros, inner.init(params))

    def update(grads, state, params=None, *, weight=1.0, **extra_args):
        gathered, weights = state.gathered + 1, state.weight + jnp.asarray(weight, state.weight.dtype)
        total = jax.tree.map(lambda sum_, g: sum_ + (weight * g).astype(sum_.dtype), state.total, grads)
        zeros = optax.tree.zeros_like(total)

        def step():
            whole = jnp.where(weights > 0, weights, 1)
            mean = jax.tree.map(lambda sum_: (sum_ / whole).astype(sum_.dtype), total)
            updates, moved = inner.update(mean, state.inner, params, **extra_args)
            updates = jax.tree.map(lambda update, zero: update.astype(zero.dtype), updates, zeros)
            return updates, AccumulateState(jnp.zeros_like(gathered), jnp.zeros_like(weights), zeros, moved)

        def wait():
            return zeros, AccumulateState(gathered, weights, total, state.inner)

        return jax.lax.cond(gathered == every, step, wait)

    return optax.GradientTransformationExtraArgs(init, update)


class AverageState(NamedTuple):
    """The number of steps taken, int32 (), and the averaged weights, a tree like the parameters."""

    steps: jax.Array
    averaged: optax.Params


def average_weights(decay: float = 0.99) -> GradientTransformation:
    """Keeps an exponential moving average of the weights; it comes last in a chain and changes no update.

    a <- decay a + (1 - decay) w after each step; the first step sets a = w, as Keras's use_ema does.
    `averaged_weights` returns the average from the optimizer's state.
    """

    def init(params):
        return AverageState(jnp.zeros([], jnp.int32), jax.tree.map(jnp.array, params))

    def update(updates, state, params=None):
        if params is None:
            raise UserError("average_weights needs the parameters: call update(grads, state, params)")
        keep = jnp.where(state.steps > 0, decay, 0.0)

        def blend(a, w):
            return (keep * a + (1 - keep) * w).astype(a.dtype)

        averaged = jax.tree.map(blend, state.averaged, optax.apply_updates(params, updates))
        return updates, AverageState(state.steps + 1, averaged)

    return GradientTransformation(init, update)


def averaged_weights(optimizer_state: optax.OptState) -> optax.Params:
    """Returns the average that `average_weights` keeps in this state, a tree like the parameters."""
    return optax.tree.get(optimizer_state, "averaged")
