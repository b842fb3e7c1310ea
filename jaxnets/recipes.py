"""Recipes: settings that go well together, as defaults for the options that a user does not set."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import GradientTransformation, ScalarOrSchedule

from jaxnets import optim, schedules
from jaxnets.data import Dataset
from jaxnets.data.augment import Fill
from jaxnets.errors import UserError, lookup
from jaxnets.models import whitening

WHITENED_FROM = 5000  # images whose patches determine the whitening layer
MUON_RATE = 0.24  # airbench's, to which its other rates are proportional


def speed(
    learning_rate: ScalarOrSchedule,
    batch_size: int,
    whiten: ScalarOrSchedule | None = None,
    dtype: Any = None,
) -> GradientTransformation:
    """Returns the optimizer of airbench94_muon for a `SpeedNet` (github.com/KellerJordan/cifar10-airbench).

    The convolutions get spherical Muon; the biases of the normalizations and the head get SGD with Nesterov
    momentum .85 and weight decay. The whitening kernel and the normalizations' scales are not trained.
    Airbench's loss is the sum over the batch; here it is the mean, so SGD's rates grow with the batch size.

    Args:
        learning_rate: Learning rate of Muon, .24 in airbench; the others are proportional to it.
        batch_size: Number of examples in a step.
        whiten: Learning rate of the whitening layer's bias; with None it is not trained, and its gradient,
            the only one that reaches back to the largest images, is not computed.
        dtype: Dtype of Muon's products.
    """

    def sgd(rate: ScalarOrSchedule, ratio: float, decay: float) -> GradientTransformation:
        scale = ratio * batch_size
        scaled = (lambda step: scale * rate(step)) if callable(rate) else scale * rate
        weights = optax.add_decayed_weights(decay / (ratio * MUON_RATE))
        return optax.chain(weights, optax.trace(0.85, nesterov=True), optax.scale_by_learning_rate(scaled))

    def kept(grads: Any, state: Any, params: Any = None) -> Any:
        return jax.tree.map(jnp.zeros_like, grads), state

    biases, head, decay = 0.053 / MUON_RATE, 0.67 / MUON_RATE, 2e-6  # the decay is per example and step
    of_whitening = sgd(learning_rate if whiten is None else whiten, biases, 0.0)
    groups = {
        "kernel": optim.spherical_muon(learning_rate, dtype=dtype),
        "bias": sgd(learning_rate, biases, decay),
        "head": sgd(learning_rate, head, decay),
        "whiten": GradientTransformation(of_whitening.init, kept) if whiten is None else of_whitening,
        "frozen": optax.set_to_zero(),
    }

    def group(path: Sequence[Any], _: jax.Array) -> str:
        layer, name = path[0].key, path[-1].key
        if layer == "whiten":
            return "whiten" if name == "bias" else "frozen"
        if layer == "head":
            return "head"
        return lookup({"kernel": "kernel", "bias": "bias", "scale": "frozen"}, name, "parameter for speed")

    return optax.partition(groups, lambda params: jax.tree_util.tree_map_with_path(group, params))


def decayed(
    optimizer: GradientTransformation, learning_rate: ScalarOrSchedule, weight_decay: float
) -> GradientTransformation:
    """Returns the optimizer with decoupled weight decay: w also falls by learning rate x weight_decay x w.

    That is `weight_decay` of Keras's optimizers, for all parameters. Source: arXiv 1711.05101.
    """
    decay = optax.chain(optax.add_decayed_weights(weight_decay), optax.scale_by_learning_rate(learning_rate))

    def init(params: Any) -> Any:
        return optimizer.init(params), decay.init(params)

    def update(grads: Any, state: Any, params: Any = None) -> Any:
        updates, own = optimizer.update(grads, state[0], params)
        falls, count = decay.update(optax.tree.zeros_like(grads), state[1], params)
        return optax.tree.add(updates, falls), (own, count)

    return GradientTransformation(init, update)


def whitened(variables: Any, images: jax.Array) -> Any:
    """Returns the variables of a `SpeedNet` with its whitening layer computed from images as it gets them.

    The layer's bias is its initial value plus the part that subtracts the mean.
    """
    kernel, bias = whitening(images)
    params = variables["params"]
    layer = {"kernel": kernel, "bias": params["whiten"]["bias"] + bias}
    return {**variables, "params": {**params, "whiten": layer}}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training; the fields are options of the command `train`.

    Attributes:
        model: Name of a registered network.
        epochs: Number of passes over the training examples.
        batch_size: Number of examples in a step; 0 means a 25th of the examples, between 16 and 2,000.
        optimizer: A name in `optim.OPTIMIZERS`, or "speed".
        learning_rate: Learning rate of the optimizer; "speed" decreases it linearly to 0. None if the
            schedule has its own.
        augment: Augmentation steps; {steps} stands for the number of steps in an epoch.
        fill: How to fill the area outside an image that is shifted.
        label_smoothing: Fraction of a label that is spread evenly over all classes.
        schedule: Words of `schedules.parse`; () is a constant rate, or that of "speed".
        weight_decay: w <- w - learning rate x this x w in every update, as in Keras; None is the
            optimizer's own default.
        clip: Largest norm of the whole gradient; longer ones are scaled down. None does not clip.
        ema: Decay of a moving average of the weights, which is then evaluated. None keeps none.
        accumulate: Number of steps whose mean gradient makes one update.
        loss: Name of the loss.
        dtype: Type of the arithmetic, "float32" or "bfloat16"; parameters are float32 in both.
    """

    model: str = "lenet5"
    epochs: int = 20
    batch_size: int = 32
    optimizer: str = "adam"
    learning_rate: float | None = 1e-3
    augment: tuple[str, ...] = ()
    fill: Fill = "nearest"
    label_smoothing: float = 0.0
    schedule: tuple[str, ...] = ()
    weight_decay: float | None = None
    clip: float | None = None
    ema: float | None = None
    accumulate: int = 1
    loss: str = "sparse_categorical_crossentropy"
    dtype: str = "float32"

    def descent(self, steps: int) -> tuple[GradientTransformation, Callable[[int], Any] | float]:
        """Returns the optimizer of a training with this number of steps, and its learning rate.

        The rate is a number or a function of the number of steps taken. Gradients are clipped first; the
        average is of the weights after each update.

        Raises:
            UserError: If a setting does not fit the optimizer or this number of steps.
        """
        if not 1 <= self.accumulate <= steps:
            raise UserError(f"--accumulate {self.accumulate}: it must be 1 to {steps}, the steps of the run")
        rate = self._rate(steps // self.accumulate)
        parts = [self._optimizer(rate)]
        if self.clip is not None:
            parts.insert(0, optim.clip_by_global_norm(self.clip))
        if self.ema is not None:
            parts.append(optim.average_weights(self.ema))
        chain = parts[0] if len(parts) == 1 else optax.chain(*parts)
        if (every := self.accumulate) == 1:
            return chain, rate
        by_step = (lambda step: rate(step // every)) if callable(rate) else rate
        return optim.accumulate(chain, every), by_step

    def _rate(self, updates: int) -> Callable[[Any], Any] | float:
        """Returns the learning rate as a function of the number of updates, or a number."""
        if self.schedule:
            return schedules.parse(self.schedule, self.learning_rate, updates)
        if self.learning_rate is None or not 0 < self.learning_rate < float("inf"):
            raise UserError(f"--learning-rate {self.learning_rate}: it must be more than 0")
        if self.optimizer == "speed":
            return optax.linear_schedule(self.learning_rate, 0.0, updates)
        return self.learning_rate

    def _optimizer(self, rate: Callable[[Any], Any] | float) -> GradientTransformation:
        """Returns the optimizer with its weight decay."""
        if self.optimizer == "speed":
            if self.weight_decay is not None:
                raise UserError("--weight-decay: the optimizer speed has its own; leave it out")
            return speed(rate, self.batch_size * self.accumulate, rate)
        make = lookup(optim.OPTIMIZERS, self.optimizer, "optimizer", ["speed"])
        if self.weight_decay is None:
            return make(rate)
        if "weight_decay" in inspect.signature(make).parameters:
            return make(rate, weight_decay=self.weight_decay)
        return decayed(make(rate), rate, self.weight_decay)

    def start(self, variables: Any, dataset: Dataset, preprocess: Callable[[Any], jax.Array]) -> Any:
        """Returns the variables to start from: a `SpeedNet` gets its whitening layer."""
        if "whiten" not in variables["params"]:
            return variables
        images = dataset.train[np.arange(min(len(dataset.train), WHITENED_FROM))]["x"]
        return jax.jit(lambda variables, images: whitened(variables, preprocess(images)))(variables, images)


RECIPES = {
    "plain": Recipe(),
    "fast": Recipe(
        model="speednet",
        epochs=8,
        batch_size=0,
        optimizer="speed",
        learning_rate=MUON_RATE,
        augment=("alternating_flip={steps}", "pad_and_crop=2"),
        fill="reflect",
        label_smoothing=0.2,
    ),
}


def choose(name: str, dataset: Dataset, **asked: Any) -> Recipe:
    """Returns the recipe for a data set, with the options asked for (not None) in place of its own.

    Grey images are not mirrored: most of them show characters, which are not symmetric. A schedule that is to
    decay in the rest of the run is told how many updates that is.

    Raises:
        UserError: If there is no such recipe, an optimizer is asked for without a learning rate, or a
            learning rate beside a schedule that has its own.
    """
    recipe = lookup(RECIPES, name, "recipe")
    asked = {key: value for key, value in asked.items() if value is not None}
    recipe = dataclasses.replace(recipe, **asked)
    if recipe.schedule and not schedules.takes_rate(recipe.schedule[0]):
        if "learning_rate" in asked:
            raise UserError(f"--schedule {recipe.schedule[0]} has its own learning rates: give no other")
        recipe = dataclasses.replace(recipe, learning_rate=None)
    elif name != "plain" and "optimizer" in asked and "learning_rate" not in asked:
        raise UserError(
            f"--recipe {name} has no learning rate for --optimizer {asked['optimizer']}: give one"
        )
    size, shape = len(dataset.train), dataset.features.shape
    if not recipe.batch_size and "batch_size" not in asked:
        recipe = dataclasses.replace(recipe, batch_size=min(max(size // 25, 16), 2000))
    steps = -(-size // max(recipe.batch_size, 1))
    if "augment" not in asked:
        own = [text.format(steps=steps) for text in recipe.augment if shape[-1] > 1 or "flip" not in text]
        recipe = dataclasses.replace(recipe, augment=tuple(own))
    if recipe.schedule:
        updates = steps * recipe.epochs // max(recipe.accumulate, 1)
        recipe = dataclasses.replace(recipe, schedule=schedules.complete(recipe.schedule, updates))
    return recipe
