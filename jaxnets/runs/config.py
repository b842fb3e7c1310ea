"""The config.json of a run: its network, inputs and data, so that they can be rebuilt from the folder."""

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen

from jaxnets.data import Dataset, Features, Source, fingerprint, load
from jaxnets.data.formats.drawings import Ink, drawn_in, ink_centre, ink_span
from jaxnets.data.formats.form import times
from jaxnets.data.formats.prepared import find_prepared
from jaxnets.errors import UserError, lookup, reason
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.train import check_input

# Of the arithmetic, by name: the fields of a network that computes so; parameters are float32 in all.
DTYPES: dict[str, dict[str, Any]] = {"float32": {}, "bfloat16": {"dtype": jnp.bfloat16}}


def with_outputs(features: Features, outputs: int) -> Features:
    """Returns the features with as many classes; those that have no name are called by their numbers.

    Raises:
        UserError: If there are more classes than that.
    """
    classes = features.classes
    if outputs < len(classes):
        raise UserError(f"{outputs} classes: the data set has {len(classes)}, and each needs an output")
    more = tuple(f"class {number}" for number in range(len(classes), outputs))
    return dataclasses.replace(features, classes=(*classes, *more))


def default_folder(name: str) -> Path:
    """Returns the folder of a run that was given none: its name under `runs`, as every system allows it."""
    return Path("runs") / re.sub(r'[<>:"|?*\\]', "-", name)


def make_model(name: str, features: Features, **options: Any) -> linen.Module:
    """Returns the registered model `name` for examples with these features, its fields set from `options`.

    Raises:
        UserError: If there is no such model, or it does not take inputs of this shape.
    """
    make = lookup(MODELS, name, "model")
    try:
        model = make(num_classes=len(features.classes), **options)
    except TypeError as error:
        raise UserError(f"the model {name} has no {' or '.join(options)}: {reason(error)}") from error
    try:
        check_input(model, features.shape)
    except UserError as error:
        raise UserError(
            f"the model {name} is made for examples like {INPUT_SHAPES[name]}, and the data set's are "
            f"{features.shape}: choose another model or another data set ({error})"
        ) from error
    return model


def describe(model: str, dataset: Dataset, inputs: str = "unit") -> dict[str, Any]:
    """Returns the part of config.json from which `load_run` and `load_dataset` rebuild what was trained."""
    ink, options = _ink(dataset), dict(dataset.options)
    ours = {
        "dataset": dataset.name,
        "data_dir": options.pop("data_dir", None),
        "fingerprint": fingerprint(dataset),
        "ink_span": None if ink is None else round(ink_span(first_images(dataset.train, 64), ink), 3),
        "ink_centre": None if ink is None else ink_centre(first_images(dataset.train, 64), ink),
    }
    more = {"data_options": options} if options else {}
    return describe_features(model, dataset.features, ink, inputs) | ours | more


def describe_features(model: str, features: Features, ink: str | None, inputs: str) -> dict[str, Any]:
    """Returns `describe` for a network whose data set is unknown."""
    return {
        "model": model,
        "dataset": None,
        "data_dir": None,
        "input": {"shape": features.shape, "dtype": features.dtype, "ink": ink, "prepare": inputs},
        "classes": features.classes,
    }


def load_dataset(workdir: Path | str, config: Mapping[str, Any]) -> Dataset:
    """Opens the data set of a run, where it was when the run began, or else where prepared data sets are now.

    Args:
        workdir: The run's folder, for messages.
        config: The contents of its config.json; one without a fingerprint is of an earlier version.

    Raises:
        UserError: If the data set is not there, or its classes, shape or examples are not those of the run.
    """
    name, folder = config["dataset"], config.get("data_dir")
    there = folder is None or find_prepared(Path(folder), name) is not None
    try:
        dataset = load(name, data_dir=folder if there else None, **config.get("data_options", {}))
    except UserError as error:
        if there:
            raise
        raise UserError(f"{error}; when {workdir} was trained, it was in {folder}") from error
    if wrong := _difference(dataset, config):
        raise UserError(
            f"the data set {name} is not the one that {workdir} was trained on: {wrong}; bring that one "
            "back, or train again"
        )
    if "fingerprint" not in config:
        print(
            f"{workdir} was trained by an earlier version, which did not note a fingerprint of {name}: it "
            "may hold other examples today",
            file=sys.stderr,
        )
    return dataset


def _difference(dataset: Dataset, config: Mapping[str, Any]) -> str | None:
    """Returns what distinguishes a data set from that of a run, in words; None if nothing does."""
    now, classes = dataset.features, tuple(config["classes"])
    shape, dtype = tuple(config["input"]["shape"]), config["input"]["dtype"]
    if now.classes != classes:
        return f"it has the classes {_few(now.classes, classes)}, not {_few(classes, now.classes)}"
    if (now.shape, now.dtype) != (shape, dtype):
        return f"its examples are {times(now.shape)} ({now.dtype}), not {times(shape)} ({dtype})"
    if config.get("fingerprint") not in (None, fingerprint(dataset)):
        return "its examples or their order are others"
    return None


def _few(names: Sequence[str], others: Sequence[str]) -> str:
    """Returns the names; of more than five, those that are not among the others first, and their number."""
    if len(names) <= 5:
        return ", ".join(names)
    return ", ".join(sorted(names, key=lambda name: name in others)[:5]) + f", ... ({len(names)})"


def _ink(dataset: Dataset) -> Ink | None:
    """Returns the ink of drawings, judging by some of them; None for anything else."""
    if dataset.features.dtype != "uint8" or len(dataset.features.shape) != 3:
        return None
    count = len(dataset.train)
    rows = np.linspace(0, count - 1, min(count, 256)).astype(int)  # from all of it: it may be in order
    return drawn_in(np.stack([dataset.train[row]["x"] for row in rows]))


def first_images(source: Source, count: int) -> np.ndarray:
    return np.stack([source[index]["x"] for index in range(min(count, len(source)))])
