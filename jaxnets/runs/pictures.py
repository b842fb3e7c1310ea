"""The performance of a trained network: a summary beside the documented figures, and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.traverse_util import flatten_dict

from jaxnets import hints, plots, report
from jaxnets.data import Batches, Dataset
from jaxnets.files import complete
from jaxnets.metrics import confusion_matrix
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.runs.config import first_images
from jaxnets.runs.run import Preprocess, probabilities
from jaxnets.summary import summarize
from jaxnets.train import normalize


def show_results(
    workdir: Path | str,
    name: str,
    model: linen.Module,
    variables: Any,
    dataset: Dataset,
    history: Sequence[Mapping[str, Any]],
    documented: Mapping[str, Any],
    *,
    over: Literal["epoch", "step"] = "epoch",
    **more: Any,
) -> dict[str, Any]:
    """Prints the summary of a run, saves curves.png and pictures of its answers, and says what to try next.

    Args:
        workdir: The run's folder.
        name: Name of the registered model.
        model: The network as it was trained.
        variables: Its variables after the training.
        dataset: The data set that it was trained on.
        history: The records of `fit`.
        documented: Figures by name, as for `print_summary`.
        over: The x axis of the curves.
        more: Further measured figures.

    Returns:
        What `print_summary` returns.
    """
    workdir = Path(workdir)
    measured = print_summary(name, model, dataset, history, documented, **more)
    plots.curves(history, workdir / "curves.png", over=over, title=f"{name} on {dataset.name}")
    print(f"try next: {save_pictures(workdir, dataset, model, variables)}")
    return measured


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
        name: Name of the registered model.
        model: The network as it was trained.
        dataset: The data set it was trained on.
        history: The records of `fit`.
        documented: Documented figures by name: parameters, accuracy, val_accuracy, ...; those that a short
            run has not measured are not printed.
        more: Further measured figures by name.

    Returns:
        The last record and `more`, with "parameters" (for the document's input and classes),
        "parameters_here", "history", and "dataset", the name of the data set.
    """
    print((here := summarize(model, dataset.features.shape)).to_text())
    original = summarize(MODELS[name](), INPUT_SHAPES[name])
    counts = {"parameters": original.parameters, "parameters_here": here.parameters}
    measured = {**history[-1], **counts, **more}
    names = {key: key for key in documented if key in measured}
    if "parameters" in names and here.parameters != original.parameters:
        names["parameters"] = "parameters for the documented input"
    known = {name: documented[key] for key, name in names.items()}
    report.beside(known, {name: round(measured[key], 4) for key, name in names.items()}, on=dataset.name)
    return measured | {"history": list(history), "dataset": dataset.name}


def save_pictures(
    workdir: Path | str,
    dataset: Dataset,
    model: linen.Module,
    variables: Any,
    preprocess: Preprocess = normalize,
    count: int = 32,
) -> str:
    """Saves pictures of the network's performance on the held-out images; returns the command to try next.

    Writes predictions.png (the first images and predictions), confusion.png (over all images), mistakes.png
    (the most confident errors), kernels.png (if the first layer is a convolution of 1 or 3 channels) and
    example.png (an image to predict); nothing if the examples are not images.
    """
    workdir = Path(workdir)
    features, source = dataset.features, dataset.test
    if len(features.shape) != 3 or features.dtype != "uint8" or not features.classes:
        return hints.jaxnets("evaluate", workdir)
    from PIL import Image

    variables = jax.tree.map(np.asarray, variables)  # of this process alone, if there are several
    batches = Batches(source, 256).epoch()
    chances = (probabilities(model, variables, batch["x"], preprocess) for batch in batches)
    best = [(each.argmax(-1), each.max(-1)) for each in chances]  # with many classes all would not fit
    guesses, confidences = (np.concatenate(part)[: len(source)] for part in zip(*best, strict=True))
    labels, names = source.labels(), features.classes

    first = first_images(source, count)
    titles = [
        names[guess] if guess == label else f"{names[guess]}, not {names[label]}!"
        for guess, label in zip(guesses[:count], labels, strict=False)
    ]
    plots.images(first, titles, workdir / "predictions.png")
    with complete(workdir / "example.png") as part:
        Image.fromarray(first[0].squeeze()).save(part, "PNG")

    group = -(-len(names) // plots.MOST_ROWS)
    rows, columns = jnp.asarray(labels // group), jnp.asarray(guesses // group)
    taken_for = confusion_matrix(columns, rows, -(-len(names) // group))
    correct = float((guesses == labels).mean())
    plots.confusion(taken_for, names[::group], workdir / "confusion.png", correct=correct, group=group)
    worst = surest_mistakes(guesses, confidences, labels)[:count]
    if len(worst):
        titles = [f"{names[guesses[i]]} ({confidences[i]:.0%})\nis {names[labels[i]]}" for i in worst]
        plots.images((source[i]["x"] for i in worst), titles, workdir / "mistakes.png", size=(1.2, 1.5))
    else:
        (workdir / "mistakes.png").unlink(missing_ok=True)  # left from when it was trained less
    kernel = first_kernel(model, variables, features.shape)
    if kernel is not None:
        plots.kernels(kernel, workdir / "kernels.png")
    return hints.jaxnets("predict", workdir, workdir / "example.png")


def surest_mistakes(guesses: np.ndarray, confidences: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the misclassified examples, those with the most probable predictions first.

    Args:
        guesses: Predicted classes, (N,).
        confidences: Their probabilities, (N,).
        labels: True labels, (N,).

    Returns:
        Indices of the examples, (M,); among equal probabilities the earlier one comes first.
    """
    wrong = np.flatnonzero(guesses != labels)
    return wrong[np.argsort(-confidences[wrong], kind="stable")]


def first_kernel(model: linen.Module, variables: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns the kernel (H, W, C, N) of the first layer if it is a convolution over 1 or 3 channels."""
    first = next((row for row in summarize(model, shape).layers if row.trainable), None)
    for path, array in first.variables.items() if first else ():
        if path[-1] == "kernel" and len(array.shape) == 4 and array.shape[2] in (1, 3):
            return flatten_dict(variables)[path]
    return None
