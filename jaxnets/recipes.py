"""Recipes: settings that go well together, as defaults for the options that a user does not set."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import GradientTransformation, ScalarOrSchedule

from jaxnets import optim
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
        return "head" if layer == "head" else {"kernel": "kernel", "bias": "bias", "scale": "frozen"}[name]

    return optax.partition(groups, lambda params: jax.tree_util.tree_map_with_path(group, params))


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
    """The settings of a training; the fields are options of experiments/train.py.

    Attributes:
        model: Name of a registered network.
        epochs: Number of passes over the training examples.
        batch_size: Number of examples in a step; 0 means a 25th of the examples, between 16 and 2,000.
        optimizer: A name in `optim.OPTIMIZERS`, or "speed".
        learning_rate: Learning rate of the optimizer; "speed" decreases it linearly to 0.
        augment: Augmentation steps; {steps} stands for the number of steps in an epoch.
        fill: How to fill the area outside an image that is shifted.
        label_smoothing: Fraction of a label that is spread evenly over all classes.
    """

    model: str = "lenet5"
    epochs: int = 20
    batch_size: int = 32
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    augment: tuple[str, ...] = ()
    fill: Fill = "nearest"
    label_smoothing: float = 0.0

    def descent(self, steps: int) -> tuple[GradientTransformation, Callable[[int], Any] | float]:
        """Returns the optimizer of a training with this number of steps, and its learning rate."""
        if self.optimizer == "speed":
            falling = optax.linear_schedule(self.learning_rate, 0.0, steps)
            return speed(falling, self.batch_size, falling), falling
        rate = self.learning_rate
        return lookup(optim.OPTIMIZERS, self.optimizer, "optimizer")(rate), rate

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

    Grey images are not mirrored: most of them show characters, which are not symmetric.

    Raises:
        UserError: If there is no such recipe, or an optimizer is asked for without a learning rate.
    """
    recipe = lookup(RECIPES, name, "recipe")
    asked = {key: value for key, value in asked.items() if value is not None}
    if name != "plain" and "optimizer" in asked and "learning_rate" not in asked:
        raise UserError(
            f"--recipe {name} has no learning rate for --optimizer {asked['optimizer']}: give one"
        )
    size, shape = len(dataset.train), dataset.features.shape
    recipe = dataclasses.replace(recipe, **asked)
    if not recipe.batch_size and "batch_size" not in asked:
        recipe = dataclasses.replace(recipe, batch_size=min(max(size // 25, 16), 2000))
    if "augment" not in asked:
        steps = -(-size // max(recipe.batch_size, 1))
        own = [text.format(steps=steps) for text in recipe.augment if shape[-1] > 1 or "flip" not in text]
        recipe = dataclasses.replace(recipe, augment=tuple(own))
    return recipe
