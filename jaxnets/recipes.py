"""Recipes: what goes well together, as table entries that fill in what a user leaves open."""

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

WHITENED_FROM = 5000  # images whose patches decide the whitening layer
MUON_RATE = 0.24  # airbench's, to which its other rates stand in proportion


def speed(
    learning_rate: ScalarOrSchedule,
    batch_size: int,
    whiten: ScalarOrSchedule | None = None,
    dtype: Any = None,
) -> GradientTransformation:
    """The optimizer of airbench94_muon for a `SpeedNet` (github.com/KellerJordan/cifar10-airbench).

    Spherical Muon for the convolutions; SGD with Nesterov momentum .85 and weight decay for the biases of the
    normalizations and for the head. The whitening kernel and the normalizations' scales stay as they are.
    Airbench's loss is the sum over the batch; here it is the mean, so that SGD's rates grow with the batch.

    Args:
        learning_rate: Learning rate of Muon, .24 in airbench; the others go with it.
        batch_size: Examples in a step.
        whiten: The same for the whitening layer's bias; None leaves it as it is, and its gradient, which
            alone reaches back to the largest images, is not computed.
        dtype: Dtype of Muon's products.
    """

    def sgd(rate: ScalarOrSchedule, ratio: float, decay: float) -> GradientTransformation:
        scale = ratio * batch_size
        scaled = (lambda step: scale * rate(step)) if callable(rate) else scale * rate
        weights = optax.add_decayed_weights(decay / (ratio * MUON_RATE))
        return optax.chain(weights, optax.trace(0.85, nesterov=True), optax.scale_by_learning_rate(scaled))

    def kept(grads: Any, state: Any, params: Any = None) -> Any:
        return jax.tree.map(jnp.zeros_like, grads), state

    biases, head, decay = 0.053 / MUON_RATE, 0.67 / MUON_RATE, 2e-6  # the decay: of an example and a step
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
    """The variables of a `SpeedNet` with its whitening layer computed from images as the network gets them.

    Its bias keeps what it was drawn as, on top of what takes the mean off.
    """
    kernel, bias = whitening(images)
    params = variables["params"]
    layer = {"kernel": kernel, "bias": params["whiten"]["bias"] + bias}
    return {**variables, "params": {**params, "whiten": layer}}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train; the fields are options of experiments/train.py.

    Attributes:
        model: A registered network.
        epochs: Passes over the training examples.
        batch_size: Examples in a step; 0 makes it a 25th of the examples, between 16 and 2,000.
        optimizer: A name of `optim.OPTIMIZERS`, or "speed".
        learning_rate: Learning rate of the optimizer; "speed" lets it fall to 0 in a straight line.
        augment: Changes of the training images; {steps} stands for the steps of an epoch.
        fill: What lies outside an image that is shifted.
        label_smoothing: Share of a label that all classes get alike.
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
    """Returns the recipe for a data set, with what was asked for (not None) in place of its own.

    Grey images are not mirrored: most of them show signs, which have a side.

    Raises:
        UserError: no such recipe; or an optimizer was asked for whose learning rate the recipe cannot know.
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
