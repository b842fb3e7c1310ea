"""The pure train and eval steps: (state, batch) in, (state, metrics) out, nothing else read or written.

The same function runs under jit, under jit over a mesh, inside scan, and, given an `axis_name`, under pmap.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import linen
from jax import lax

from jaxnets import losses
from jaxnets.data.device import gather
from jaxnets.metrics import accuracy
from jaxnets.nn import batch_mask
from jaxnets.nn.operation import operation
from jaxnets.platforms import by_platform
from jaxnets.train.freeze import trainable
from jaxnets.train.state import TrainState
from jaxnets.train.sums import Batch, Measured, PerExample, Sums, nonzero

Targets = Callable[[Batch], Any]


class TrainStep(Protocol):
    """The step that `fit` trains with: (state, batch) -> (state, sums); pure, so that it can be compiled.

    A batch is {"x": (B, ...), "y": (B, ...), "mask": (B,)} or refers to a resident data set. The sums hold
    "loss" and every metric summed over the examples, float32 () or `metrics.Totals`, and "count", their
    number; and "weight", which divides the loss, if that is not the number of examples.
    """

    def __call__(self, state: TrainState, batch: Batch, /) -> tuple[TrainState, Sums]: ...


class EvalStep(Protocol):
    """The step that `evaluate` measures with: (variables, batch) -> sums, as in `TrainStep`; pure."""

    def __call__(self, variables: Mapping[str, Any], batch: Batch, /) -> Sums: ...


@dataclasses.dataclass(frozen=True)
class ConditionalStep:
    """A `TrainStep` that can be told not to learn, at no cost beyond its own check of the loss.

    Attributes:
        conditional: (state, batch, should_learn) -> (state, sums); if ``should_learn``, bool (), is false,
            nothing in the state changes but the step number.
    """

    conditional: Callable[[TrainState, Batch, bool | jax.Array], tuple[TrainState, Sums]]

    def __call__(self, state: TrainState, batch: Batch, /) -> tuple[TrainState, Sums]:
        return self.conditional(state, batch, jnp.bool_(True))


ACCURACY: Mapping[str, PerExample] = {"accuracy": accuracy}
NONE: Mapping[str, PerExample] = {}


def labels_of(batch: Batch) -> jax.Array:
    """Returns the targets of a network with one output, the batch's "y"."""
    return batch["y"]


def normalize(x: jax.Array) -> jax.Array:
    """Returns uint8 images as float32 in 0 ... 1, and anything else unchanged."""
    return x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x


def make_train_step(
    model: linen.Module,
    optimizer: optax.GradientTransformation,
    *,
    loss: PerExample = losses.sparse_categorical_crossentropy,
    metrics: Mapping[str, PerExample] = ACCURACY,
    weighted_metrics: Mapping[str, PerExample] = NONE,
    reduction: str = "sum_over_batch_size",
    penalty: Callable[[Any], jax.Array] | None = None,
    augment: Callable[[jax.Array, jax.Array, Batch], Batch] | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = normalize,
    targets: Targets = labels_of,
    remat: bool = False,
    axis_name: str | None = None,
) -> ConditionalStep:
    """Returns one step of gradient descent as a pure function.

    Args:
        model: The network; `model.apply(variables, x, train=True)` gives logits.
        optimizer: An Optax transformation, the one that made `state.opt_state`.
        loss: Function of (logits, y) with one value per example; `losses.heads` for several outputs.
        metrics: Functions like the loss, by name, that are only measured; every example counts the same.
        weighted_metrics: The same, with every example counting by its weight in the batch.
        reduction: What the sum of the loss is divided by: "sum_over_batch_size", the number of examples,
            whatever their weights; or "mean_with_sample_weight", the sum of the weights.
        penalty: Function of the parameters (of a frozen model, as in Keras, the trainable ones) whose value
            is added to the mean loss: Keras's kernel_regularizer.
        augment: (key, step, batch) -> batch, before `preprocess`; see `jaxnets.data.augment`.
        preprocess: Function applied to x on the device first.
        targets: Function from the batch to what the loss and metrics compare the output with. By default y.
        remat: Keep only the results of convolutions and matrix products for the backward pass, and compute
            the rest (normalizations, activations, pooling) again there: less memory, more time. By default
            everything is kept.
        axis_name: The mapped axis under pmap or shard_map; gradients, statistics and sums are added over it.

    Returns:
        A `TrainStep`, (state, batch) -> (state, sums). A batch is {"x": (B, ...), "y": (B, ...), "mask":
        (B,)}, with mask 0 on padding rows (without a mask all rows count), or refers to a resident data set
        (`jaxnets.data.device`). If it has "weights", (B,) or of positions (B, ...), the loss is multiplied by
        them: Keras's sample_weight; `losses.class_weighted` is its class_weight. `sums` holds the sums of the
        loss and of every metric over the examples of mask 1, and their "count"; add up as many batches as
        wanted, then divide once (`means`). If the loss or a gradient is not finite, the count is nan and
        nothing but the step number changes in the state.

    Raises:
        UserError: If the reduction has another name; when called, if the weights do not fit the loss.

    Examples:
        >>> import optax
        >>> from jaxnets import models, train
        >>> model, optimizer = models.MODELS["perceptron"](), optax.sgd(0.1)
        >>> state = train.make_state(model, optimizer, (4,))
        >>> step = jax.jit(make_train_step(model, optimizer))
        >>> batch = {"x": jnp.ones((2, 4)), "y": jnp.array([0, 2]), "mask": jnp.ones(2)}
        >>> state, sums = step(state, batch)
        >>> int(state.step), float(sums["count"])
        (1, 2.0)
    """
    measured = Measured(loss, metrics, weighted_metrics, reduction)

    def add(tree):
        return tree if axis_name is None else lax.psum(tree, axis_name)

    @by_platform
    def train_step(
        state: TrainState, batch: Batch, should_learn: bool | jax.Array
    ) -> tuple[TrainState, Sums]:
        key = jax.random.fold_in(state.key, state.step)
        batch = gather(batch)
        if augment is not None:  # the same key on every device: examples differ by their index
            batch = augment(state.key, state.step, batch)
        if axis_name is not None:
            key = jax.random.fold_in(key, lax.axis_index(axis_name))
        mask = batch["mask"]
        count = add(jnp.sum(mask))

        def objective(params):
            with batch_mask(mask):
                logits, model_state = model.apply(
                    {"params": params, **state.model_state},
                    preprocess(batch["x"]),
                    train=True,
                    rngs={"dropout": key},
                    mutable=list(state.model_state),
                )
            sums = measured(logits, targets(batch), batch)
            extra = penalty(trainable(model, params)) if penalty is not None else 0.0
            whole = nonzero(add(sums["weight"])) if "weight" in sums else count
            # Every device holds its share of the batch and of the penalty: the shares add up to the mean.
            return sums["loss"] / whole + extra / add(1.0), (sums, extra, model_state)

        objective = jax.checkpoint(objective, policy=_is_product) if remat else objective
        grads, (sums, extra, new_model_state) = jax.grad(objective, has_aux=True)(state.params)
        grads, sums = add(grads), add(sums)
        sums["loss"] += extra * sums.get("weight", count)
        # A finite loss may have gradients that are not, or that overflow where an optimizer squares them.
        finite = jnp.isfinite(sums["loss"]) & jnp.isfinite(jnp.square(total(grads)))
        sums["count"] = jnp.where(finite, sums["count"], jnp.nan)
        if axis_name is not None:
            new_model_state = lax.pmean(new_model_state, axis_name)

        def learn(params, model_state, opt_state):
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), new_model_state, opt_state

        old = state.params, state.model_state, state.opt_state
        params, model_state, opt_state = only_if(finite & should_learn, learn, *old)
        return TrainState(state.step + 1, params, model_state, opt_state, state.key), sums

    # Traced once, whether its shapes are asked for, it is compiled, or a program has several copies of it.
    return ConditionalStep(jax.jit(train_step, inline=True))


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in ("conv_general_dilated", "dot_general")


def make_eval_step(
    model: linen.Module,
    *,
    loss: PerExample = losses.sparse_categorical_crossentropy,
    metrics: Mapping[str, PerExample] = ACCURACY,
    weighted_metrics: Mapping[str, PerExample] = NONE,
    reduction: str = "sum_over_batch_size",
    penalty: Callable[[Any], jax.Array] | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = normalize,
    targets: Targets = labels_of,
    axis_name: str | None = None,
) -> EvalStep:
    """Returns (variables, batch) -> sums, measured as in `make_train_step` but with `train=False`."""
    measured = Measured(loss, metrics, weighted_metrics, reduction)

    @by_platform
    def eval_step(variables: Mapping[str, Any], batch: Batch) -> Sums:
        batch = gather(batch)
        logits = model.apply(variables, preprocess(batch["x"]), train=False)
        sums = measured(logits, targets(batch), batch)
        if penalty is not None:
            divisor = sums["weight" if "weight" in sums else "count"]
            sums["loss"] += penalty(trainable(model, variables["params"])) * divisor
        return sums if axis_name is None else lax.psum(sums, axis_name)

    return eval_step


@operation("only_if")
def only_if(condition: jax.Array, change: Callable[..., Any], *old: Any) -> Any:
    """Returns change(*old) if the scalar condition holds, else old; a tuple of trees.

    It selects elementwise: with a branch, a GPU's host would have to wait for the condition.
    """
    return jax.tree.map(lambda new, before: jnp.where(condition, new, before), change(*old), old)


@operation("total")
def total(tree: Any) -> jax.Array:
    """Returns the sum of all numbers in a tree, ()."""
    return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(tree)), jnp.zeros(()))
