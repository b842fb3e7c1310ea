"""A finished run: its configuration, its network, its predictions, and pictures of its performance."""

from jaxnets.runs.config import default_folder, describe, describe_features, load_dataset, make_model
from jaxnets.runs.pictures import (
    first_kernel,
    print_summary,
    save_pictures,
    show_results,
    surest_mistakes,
)
from jaxnets.runs.run import INPUTS, WEIGHTS, Preprocess, Run, load_exported, load_run, probabilities

__all__ = [
    "INPUTS",
    "WEIGHTS",
    "Preprocess",
    "Run",
    "default_folder",
    "describe",
    "describe_features",
    "first_kernel",
    "load_dataset",
    "load_exported",
    "load_run",
    "make_model",
    "print_summary",
    "probabilities",
    "save_pictures",
    "show_results",
    "surest_mistakes",
]
