"""The config.json of a run: its network, inputs and data, so that they can be rebuilt from the folder."""

import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen

import jaxnets
from jaxnets.data import Dataset, Features, Source
from jaxnets.data.formats.images import Ink, ink_of, ink_span
from jaxnets.errors import UserError, lookup
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.train import check_input


def make_model(name: str, features: Features, **options: Any) -> linen.Module:
    """Returns the registered model `name` for examples with these features, its fields set from `options`.

    Raises:
        UserError: If there is no such model, or it does not take inputs of this shape.
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
        "ink_span": None if ink is None else round(ink_span(first_images(dataset.train, 64), ink), 3),
    }
    return describe_features(model, dataset.features, ink, inputs) | ours


def describe_features(model: str, features: Features, ink: str | None, inputs: str) -> dict[str, Any]:
    """Returns `describe` for a network whose data set is unknown."""
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
    """Returns the ink of grey images, judging by a few of them; None for anything else."""
    if dataset.features.dtype != "uint8" or dataset.features.shape[-1] != 1:
        return None
    return ink_of(first_images(dataset.train, 64))


def first_images(source: Source, count: int) -> np.ndarray:
    return np.stack([source[index]["x"] for index in range(min(count, len(source)))])
