"""A trained network from its workdir alone: for predicting, evaluating and exporting."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.traverse_util import flatten_dict

import jaxnets
from jaxnets import hints, plots, report
from jaxnets.cpu import on_cpu
from jaxnets.data import Batches, Dataset, Features, Source
from jaxnets.data.images import Ink, ink_of, ink_span
from jaxnets.errors import UserError, lookup
from jaxnets.files import complete
from jaxnets.metrics import confusion_matrix
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.pretrained import caffe_inputs, tf_inputs
from jaxnets.summary import summarize
from jaxnets.train import Checkpoints, check_input, normalize, read_config
from jaxnets.train.workdir import BEST, CHECKPOINTS

Preprocess = Callable[[jax.Array], jax.Array]

AT_ONCE = 64  # examples in a batch to predict

# How images of bytes become numbers: 0 to 1; as the official ResNet and VGG, or Xception, have them; as is.
INPUTS: dict[str, Preprocess] = {
    "unit": normalize,
    "caffe": caffe_inputs,
    "tf": tf_inputs,
    "bytes": lambda x: x.astype(jnp.float32),
}


def make_model(name: str, features: Features, **options: Any) -> linen.Module:
    """Returns the registered model `name` for examples like these, with fields of it set as `options` say.

    Raises:
        UserError: no such model, or it does not take inputs of this shape.
    """
    model = lookup(MODELS, name, "model")(num_classes=len(features.classes), **options)
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
    ink = _ink(dataset)
    ours = {
        "dataset": dataset.name,
        "data_dir": str(data_dir) if data_dir else None,
        "ink_span": None if ink is None else round(ink_span(_first(dataset.train, 64), ink), 3),
    }
    return describe_features(model, dataset.features, ink, inputs) | ours


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


def _ink(dataset: Dataset) -> Ink | None:
    """The ink of grey images, by a few of them; None for anything else."""
    if dataset.features.dtype != "uint8" or dataset.features.shape[-1] != 1:
        return None
    return ink_of(_first(dataset.train, 64))


def _first(source: Source, count: int) -> np.ndarray:
    return np.stack([source[index]["x"] for index in range(min(count, len(source)))])


def print_summary(
    name: str,
    model: linen.Module,
    dataset: Dataset,
    history: Sequence[Mapping[str, Any]],
    documented: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """Prints the layers of a trained network, and its documented figures beside the measured ones.

    Args:
        name: of the registered model.
        model: the network as it was trained.
        dataset: what it was trained on.
        history: the records of `fit`.
        documented: figures by name: parameters, accuracy, val_accuracy, ...; those that a short run has not
            reached are not printed.
        more: further measured figures.

    Returns:
        The last record and `more`; "parameters" of the network with the input and the classes that the
        document has, and "parameters_here"; "history", and "dataset", the name of the data.
    """
    print((here := summarize(model, dataset.features.shape)).to_text())
    original = summarize(MODELS[name](), INPUT_SHAPES[name])
    counts = {"parameters": original.parameters, "parameters_here": here.parameters}
    measured = {**history[-1], **counts, **more}
    known = {key: figure for key, figure in documented.items() if key in measured}
    report.beside(known, {key: round(measured[key], 4) for key in known}, on=dataset.name)
    return measured | {"history": list(history), "dataset": dataset.name}


def save_pictures(
    workdir: Path,
    dataset: Dataset,
    model: linen.Module,
    variables: Any,
    preprocess: Preprocess = normalize,
    count: int = 32,
) -> str:
    """Saves pictures of how the network does on the held-out images; returns the command to try next.

    Writes predictions.png (the first images and answers), confusion.png (all of them), mistakes.png (where it
    was wrong and surest), kernels.png (where the first layer is a convolution of 1 or 3 channels) and, as an
    image to predict, example.png; nothing where examples are not images.
    """
    features, source = dataset.features, dataset.test
    if len(features.shape) != 3 or features.dtype != "uint8" or not features.classes:
        return hints.jaxnets("evaluate", workdir)
    from PIL import Image

    variables = jax.tree.map(np.asarray, variables)  # of this process alone, where there are several
    batches = Batches(source, 256).epoch()
    found = np.concatenate([probabilities(model, variables, batch["x"], preprocess) for batch in batches])
    found = found[: len(source)]  # the last batch is filled up
    labels, guesses, names = source.labels(), found.argmax(-1), features.classes

    first = _first(source, count)
    titles = [
        names[guess] if guess == label else f"{names[guess]}, not {names[label]}!"
        for guess, label in zip(guesses[:count], labels, strict=False)
    ]
    plots.images(first, titles, workdir / "predictions.png")
    with complete(workdir / "example.png") as part:
        Image.fromarray(first[0].squeeze()).save(part, "PNG")

    taken_for = confusion_matrix(jnp.asarray(guesses), jnp.asarray(labels), len(names))
    plots.confusion(taken_for, names, workdir / "confusion.png")
    worst = surest_mistakes(found, labels)[:count]
    if len(worst):
        titles = [f"{names[guesses[i]]} ({found[i].max():.0%})\nis {names[labels[i]]}" for i in worst]
        plots.images((source[i]["x"] for i in worst), titles, workdir / "mistakes.png", size=(1.2, 1.5))
    else:
        (workdir / "mistakes.png").unlink(missing_ok=True)  # of when it was trained less
    kernel = first_kernel(model, variables, features.shape)
    if kernel is not None:
        plots.kernels(kernel, workdir / "kernels.png")
    return hints.jaxnets("predict", workdir, workdir / "example.png")


def surest_mistakes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns which examples were taken for a wrong class, the ones held most probable first.

    Args:
        probabilities: (N, classes).
        labels: (N,).

    Returns:
        Indices of examples (M,), of equally probable ones the earlier first.
    """
    wrong = np.flatnonzero(probabilities.argmax(-1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")]


def first_kernel(model: linen.Module, variables: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns the kernel (H, W, C, N) of the first layer if it is a convolution over 1 or 3 channels."""
    first = next(row for row in summarize(model, shape).layers if row.trainable)
    for path, array in first.variables.items():
        if path[-1] == "kernel" and len(array.shape) == 4 and array.shape[2] in (1, 3):
            return flatten_dict(variables)[path]
    return None


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
        return probabilities(self.model, self.variables, x, self.preprocess)

    @property
    def preprocess(self) -> Preprocess:
        """How its images become inputs, on the device."""
        return lookup(INPUTS, self.config["input"].get("prepare", "unit"), "kind of inputs")


def probabilities(
    model: linen.Module, variables: Any, x: np.ndarray, preprocess: Preprocess = normalize
) -> np.ndarray:
    """Returns float32 (N, classes) for inputs (N, ...) as they are stored, `AT_ONCE` at a time."""
    size = min(AT_ONCE, len(x))
    rows = np.resize(np.arange(len(x)), (-(-len(x) // size), size))  # one shape: the last starts over
    found = [np.asarray(_forward(model, variables, x[some], preprocess)) for some in rows]
    return np.concatenate(found)[: len(x)]


@partial(jax.jit, static_argnums=(0, 3))
def _forward(model: linen.Module, variables: Any, x: jax.Array, preprocess: Preprocess) -> jax.Array:
    @on_cpu
    def forward(variables: Any, x: jax.Array) -> jax.Array:
        logits: Any = model.apply(variables, preprocess(x))
        return jax.nn.softmax(logits)

    return forward(variables, x)


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
