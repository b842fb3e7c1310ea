"""A finished run: its configuration, its network, its predictions, and pictures of its performance."""

from jaxnets.runs.config import (
    DTYPES,
    default_folder,
    describe,
    describe_features,
    load_dataset,
    make_model,
    with_outputs,
)
from jaxnets.runs.folder import open_folder
from jaxnets.runs.loss import LOSSES, make_loss
from jaxnets.runs.once import train_once
from jaxnets.runs.pictures import (
    first_kernel,
    print_summary,
    save_pictures,
    show_results,
    surest_mistakes,
)
from jaxnets.runs.run import (
    INPUTS,
    WEIGHTS,
    Preprocess,
    Run,
    describe_moments,
    load_exported,
    load_run,
    probabilities,
)

__all__ = [
    "DTYPES",
    "INPUTS",
    "LOSSES",
    "WEIGHTS",
    "Preprocess",
    "Run",
    "default_folder",
    "describe",
    "describe_features",
    "describe_moments",
    "first_kernel",
    "load_dataset",
    "load_exported",
    "load_run",
    "make_loss",
    "make_model",
    "open_folder",
    "print_summary",
    "probabilities",
    "save_pictures",
    "show_results",
    "surest_mistakes",
    "train_once",
    "with_outputs",
]
