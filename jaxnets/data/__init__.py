"""Data: sources of examples, and batches of them in an order that (seed, epoch) alone decides."""

from jaxnets.data.embedded import EMBEDDED
from jaxnets.data.sampler import Batches, epoch_order
from jaxnets.data.source import ArraySource, Dataset, Features, Source, Subset
from jaxnets.data.split import split
from jaxnets.data.tfds_source import load_tfds

__all__ = [
    "EMBEDDED",
    "ArraySource",
    "Batches",
    "Dataset",
    "Features",
    "Source",
    "Subset",
    "epoch_order",
    "load",
    "split",
]


def load(name: str, *, data_dir: str | None = None) -> Dataset:
    """Returns a data set by name: an embedded one (digits, iris) or any that TFDS knows.

    Raises:
        UserError: the name is unknown, or the data set cannot be prepared here.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]()
    return load_tfds(name, EMBEDDED, data_dir=data_dir)
