"""A trained network from its workdir alone: for predicting, evaluating and exporting."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

import jaxnets
from jaxnets import plots
from jaxnets.data import Dataset, Features, Source
from jaxnets.data.images import ink_of
from jaxnets.errors import UserError, lookup
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.pretrained import caffe_inputs, tf_inputs
from jaxnets.train import Checkpoints, check_input, normalise, read_config
from jaxnets.train.workdir import BEST, CHECKPOINTS

Prepare = Callable[[jax.Array], jax.Array]

AT_ONCE = 64  # examples in a batch to predict

# How images of bytes become numbers: 0 to 1; as the official ResNet and VGG, or Xception, have them; as is.
INPUTS: dict[str, Prepare] = {
    "unit": normalise,
    "caffe": caffe_inputs,
    "tf": tf_inputs,
    "bytes": lambda x: x.astype(jnp.float32),
}


def make_model(name: str, features: Features) -> linen.Module:
    """Returns the registered model `name` for examples like these.

    Raises:
        UserError: no such model, or it does not take inputs of this shape.
    """
    model = lookup(MODELS, name, "model")(num_classes=len(features.classes))
    try:
        check_input(model, features.shape)
    except UserError as error:
        raise UserError(
            f"the model {name} is made for examples like {INPUT_SHAPES[name]}, and the data set's are "
            f"{features.shape}: choose another model or another data set ({error})"
        ) from error
    return model


def describe(
    model: str, dataset: Dataset, data_dir: Path | None = None, inputs: str = "unit"
) -> dict[str, Any]:
    """Returns the part of config.json from which `load_run` can rebuild the network and find the data."""
    ours = {"dataset": dataset.name, "data_dir": str(data_dir) if data_dir else None}
    return describe_features(model, dataset.features, _ink(dataset), inputs) | ours


def describe_features(model: str, features: Features, ink: str | None, inputs: str) -> dict[str, Any]:
    """Returns `describe` for a network whose data set is not known."""
    versions = {"jaxnets": jaxnets.__version__, "jax": jax.__version__, "python": platform.python_version()}
    return {
        "model": model,
        "dataset": None,
        "data_dir": None,
        "input": {"shape": features.shape, "dtype": features.dtype, "ink": ink, "prepare": inputs},
        "classes": features.classes,
        "versions": versions,
    }


def _ink(dataset: Dataset) -> str | None:
    """The ink of grey images, by a few of them; None for anything else."""
    if dataset.features.dtype != "uint8" or dataset.features.shape[-1] != 1:
        return None
    return ink_of(_first(dataset.train, 64))


def _first(source: Source, count: int) -> np.ndarray:
    return np.stack([source[index]["x"] for index in range(min(count, len(source)))])


def illustrate(
    workdir: Path,
    dataset: Dataset,
    model: linen.Module,
    variables: Any,
    prepare: Prepare = normalise,
    count: int = 32,
) -> str:
    """Saves pictures of the first held-out images with their predictions; returns what to try next.

    Writes predictions.png and, as an image to predict, example.png; nothing where examples are not images.
    """
    if len(dataset.features.shape) != 3 or dataset.features.dtype != "uint8":
        return f"evaluate {workdir}"
    from PIL import Image

    images = _first(dataset.test, count)
    variables = jax.tree.map(np.asarray, variables)  # of this process alone, where there are several
    guesses = probabilities(model, variables, images, prepare).argmax(-1)
    names = dataset.features.classes
    titles = []
    for index, guess in enumerate(guesses):
        label = int(dataset.test[index]["y"])
        titles.append(names[guess] if guess == label else f"{names[guess]}, not {names[label]}!")
    plots.images(images, titles, workdir / "predictions.png")
    Image.fromarray(images[0].squeeze()).save(workdir / "example.png")
    return f"predict {workdir} {workdir / 'example.png'}"


@dataclass(frozen=True)
class Run:
    """A trained network and what it was trained on.

    Attributes:
        config: what config.json of the workdir holds.
        features: what an example holds.
        model: the network.
        variables: its parameters and statistics.
    """

    config: dict[str, Any]
    features: Features
    model: linen.Module
    variables: dict[str, Any]

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Returns `probabilities` of this network."""
        return probabilities(self.model, self.variables, x, self.prepare)

    @property
    def prepare(self) -> Prepare:
        """How its images become inputs, on the device."""
        return lookup(INPUTS, self.config["input"].get("prepare", "unit"), "kind of inputs")


def probabilities(
    model: linen.Module, variables: Any, x: np.ndarray, prepare: Prepare = normalise
) -> np.ndarray:
    """Returns float32 (N, classes) for inputs (N, ...) as they are stored, `AT_ONCE` at a time."""
    size = min(AT_ONCE, len(x))
    rows = np.resize(np.arange(len(x)), (-(-len(x) // size), size))  # one shape: the last starts over
    found = [np.asarray(_forward(model, variables, x[some], prepare)) for some in rows]
    return np.concatenate(found)[: len(x)]


@partial(jax.jit, static_argnums=(0, 3))
def _forward(model: linen.Module, variables: Any, x: jax.Array, prepare: Prepare) -> jax.Array:
    logits: Any = model.apply(variables, prepare(x))
    return jax.nn.softmax(logits)


def load_run(workdir: Path) -> Run:
    """Returns a run with its best parameters where it kept them, else the newest.

    They are those that its training judged: averaged weights, where it judged the average.

    Raises:
        UserError: the folder is not a run's, nothing has been saved yet, or the checkpoint is damaged.
    """
    config = read_config(workdir)
    try:
        shape, dtype, classes = config["input"]["shape"], config["input"]["dtype"], config["classes"]
        features, name = Features(tuple(shape), dtype, tuple(classes)), config["model"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{workdir / 'config.json'} lacks {error}: it is not of a run of jaxnets") from error
    folder = workdir / (BEST if (workdir / BEST).is_dir() else CHECKPOINTS)
    variables = None
    if folder.is_dir():
        with Checkpoints(folder) as checkpoints:
            variables = checkpoints.restore_variables()
    if variables is None:
        raise UserError(f"{workdir} holds no checkpoint yet: let its training run for an epoch first")
    return Run(config, features, make_model(name, features), variables)
