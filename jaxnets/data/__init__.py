"""Data: sources of examples, and batches of them in an order that (seed, epoch) alone decides."""

from os import PathLike
from typing import Any

from jaxnets import hints
from jaxnets.data.embedded import EMBEDDED, photos
from jaxnets.data.sampler import Batches, epoch_order
from jaxnets.data.source import ArraySource, Dataset, Features, Source, Subset
from jaxnets.data.splits import split
from jaxnets.data.tfds_source import load_tfds
from jaxnets.errors import NotAtHand

__all__ = [
    "EMBEDDED",
    "ArraySource",
    "Batches",
    "Dataset",
    "Features",
    "Source",
    "Subset",
    "at_hand",
    "epoch_order",
    "load",
    "photos",
    "split",
]


def load(name: str, *, data_dir: str | PathLike | None = None, **options: Any) -> Dataset:
    """Returns a data set by name: an embedded one (digits, iris), one prepared here, or any that TFDS knows.

    Args:
        name: Name of the data set.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        options: Options of TFDS data sets: splits, version, image size, boxes; see `load_tfds`.

    Raises:
        UserError: the name is unknown, or the data set cannot be prepared here.

    Examples:
        >>> digits = load("digits")
        >>> len(digits.train), digits.features.shape
        (1438, (28, 28, 1))
    """
    if name in EMBEDDED and not options:
        return EMBEDDED[name]()
    return load_tfds(name, EMBEDDED, data_dir=data_dir, **options)


def at_hand(name: str, data_dir: str | PathLike | None = None, otherwise: str = "digits") -> Dataset:
    """Returns `load(name)`, or an embedded data set where that one cannot be had on this machine now.

    For experiments, which are to run anywhere: a line says what was taken instead, and what to do to get
    what was asked for; `Dataset.name` tells which it is.

    Args:
        name: Name of the data set.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        otherwise: The embedded data set to take instead.

    Raises:
        UserError: the name is unknown, or the data set is here but wrong.
    """
    try:
        return load(name, data_dir=data_dir)
    except NotAtHand as error:
        where = ["--data-dir", data_dir] if data_dir else []
        print(
            f"{name} is not at hand, {otherwise} instead: {error}, or prepare it from files: "
            f"{hints.jaxnets('data', 'prepare', 'SOURCE', '--name', name, *where)}"
        )
        return load(otherwise)
