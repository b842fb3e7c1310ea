"""Parts of the command train: the examples it learns from, what is frozen, what config.json notes."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import linen
from jax.sharding import Mesh

from jaxnets import optim, runs, train
from jaxnets.data import Batches, Dataset, Features, Source, Subset
from jaxnets.data import split as split_source
from jaxnets.data.device import on_device
from jaxnets.errors import UserError
from jaxnets.recipes import Recipe
from jaxnets.runs.start import HEADS, start_from
from jaxnets.train.freeze import freeze as freeze_parts

NOT_RESOLVED = ("recipe", "quiet", "print_config", "seeds")  # the others hold what the recipe says
ALWAYS_NOTED = ("optimizer", "learning_rate", "batch_size", "seed", "start", "epochs")


def split(dataset: Dataset, validation: int | float | None, seed: int, classes: int | None) -> Dataset:
    """Returns the examples to learn from and those to evaluate on.

    Args:
        dataset: The data set.
        validation: Number or fraction of the training examples to evaluate on, drawn from the seed and from
            each class alike. With None they are the data set's own held-out ones.
        seed: Seed of that choice.
        classes: Number of outputs. By default that of the classes.

    Raises:
        UserError: If a part is empty, or there are more classes than outputs.
    """
    if classes is not None:
        try:
            features = runs.with_outputs(dataset.features, classes)
        except UserError as error:
            raise UserError(f"--classes: {error}") from error
        dataset = with_classes(dataset, features)
    if validation is None:
        return dataset
    try:
        learn, judge = split_source(dataset.train, validation, seed=seed, stratify=True)
    except UserError as error:
        raise UserError(f"--validation {validation}: {error}") from error
    return replace(dataset, train=learn, test=judge)


def with_classes(dataset: Dataset, features: Features) -> Dataset:
    """Returns the data set with the features' classes, which begin with its own."""
    if dataset.features.classes == features.classes:
        return dataset

    def renamed(source: Source) -> Source:
        part = Subset(source, np.arange(len(source)))
        part.features = features
        return part

    return replace(dataset, train=renamed(dataset.train), test=renamed(dataset.test))


def freeze(
    network: linen.Module, optimizer: optax.GradientTransformation, shape: tuple[int, ...], head_only: bool
) -> tuple[Any, optax.GradientTransformation]:
    """Returns the network and the optimizer as they are, or such that only the last layer learns.

    Raises:
        UserError: If the network has no layer that is known as its head, or no other.
    """
    if not head_only:
        return network, optimizer
    example = jax.ShapeDtypeStruct((1, *shape), "float32")
    params = jax.eval_shape(network.init, jax.random.key(0), example)["params"]
    others = [layer for layer in params if layer not in HEADS]
    if not others or len(others) == len(params):
        raise UserError(
            f"--head-only needs a layer called {' or '.join(HEADS)} and others before it: the network has "
            f"{', '.join(params)}"
        )
    return freeze_parts(network, optimizer, params, others)


def first_variables(plan: Recipe, part: Dataset, start: Path | None, fresh: Any, inputs: str) -> Any:
    """Returns the variables before the first step: those of `start`, or the fresh ones made ready."""
    if start is None:
        return plan.start(fresh, part, runs.INPUTS[inputs])
    network = runs.make_model(plan.model, part.features)  # in float32, in which files are compared with it
    return start_from(start, plan.model, network, part.features, fresh)


def averaged(state: train.TrainState) -> Mapping[str, Any]:
    """Returns the variables with the averages of those parameters that learn."""

    def is_frozen(leaf: Any) -> bool:
        return isinstance(leaf, optax.MaskedNode)

    params = jax.tree.map(
        lambda average, now: now if is_frozen(average) else average,
        optim.averaged_weights(state.opt_state),
        state.params,
        is_leaf=is_frozen,
    )
    return {**state.variables, "params": params}


def noted(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a run's config.json notes of its settings.

    What is not at its default is noted beside a few that always are, so that a run of an earlier version,
    which did not have an option, continues.
    """
    defaults: dict[str, Any] = {field.name: field.default for field in fields(Recipe)}
    defaults |= {"best": None, "early_stopping": None, "validation": None, "validate_every": 1}
    defaults |= {"classes": None, "head_only": False}
    found = {name: resolved[name] for name in ALWAYS_NOTED}
    found["start"] = str(resolved["start"]) if resolved["start"] else None
    for name, default in defaults.items():
        if name not in (*found, "model", "fill") and resolved[name] != default:
            found["outputs" if name == "classes" else name] = resolved[name]
    return found | ({"fill": resolved["fill"]} if resolved["augment"] else {})


def measure(step: train.EvalStep, variables: Any, dataset: Dataset, mesh: Mesh | None) -> dict[str, float]:
    """Returns the loss and accuracy on the data set's own held-out examples."""
    return train.evaluate(jax.jit(step), variables, on_device(Batches(dataset.test, 256), mesh=mesh))
