"""Data: sources of examples, and batches of them in an order that depends only on (seed, epoch)."""

from os import PathLike
from typing import Any

from jaxnets import hints
from jaxnets.data.embedded import EMBEDDED, photos
from jaxnets.data.fingerprints import fingerprint
from jaxnets.data.sampler import Batches, epoch_order
from jaxnets.data.source import ArraySource, Dataset, Features, Source, Subset
from jaxnets.data.splits import split
from jaxnets.data.tfds_source import load_tfds
from jaxnets.errors import NotAtHand, UserError, expect

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
    "fingerprint",
    "load",
    "photos",
    "split",
]


def load(name: str, *, data_dir: str | PathLike | None = None, **options: Any) -> Dataset:
    """Returns a data set by name: an embedded one (digits, iris), one prepared here, or any TFDS data set.

    Args:
        name: Name of the data set.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        options: Options of TFDS data sets: splits, keys, image size, boxes; see `load_tfds`. None is as if it
            were not given.

    Raises:
        UserError: If the name is unknown, the data set cannot be prepared here, or an option is not for it.

    Examples:
        >>> digits = load("digits")
        >>> len(digits.train), digits.features.shape
        (1438, (28, 28, 1))
    """
    expect("the name of a data set", name, str, "one such as 'digits'")
    options = {key: value for key, value in options.items() if value is not None}
    if name in EMBEDDED:
        if options:
            raise UserError(f"{name} comes with scikit-learn as it is: leave out its {', '.join(options)}")
        return EMBEDDED[name]()
    return load_tfds(name, EMBEDDED, data_dir=data_dir, **options)


def at_hand(name: str, data_dir: str | PathLike | None = None, otherwise: str = "digits") -> Dataset:
    """Returns `load(name)`, or an embedded data set if that one is not available on this machine.

    It is meant for experiments that have to run anywhere: a message says which data set is used instead and
    how to get the one asked for; `Dataset.name` tells which one was returned.

    Args:
        name: Name of the data set.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        otherwise: Name of the embedded data set to use instead.

    Raises:
        UserError: If the name is unknown, or the data set is present but broken.
    """
    try:
        return load(name, data_dir=data_dir)
    except NotAtHand as error:
        own = f"my_{name.partition(':')[0].replace('/', '_')}"
        where = ["--data-dir", data_dir] if data_dir else []
        print(
            f"{name} is not available, using {otherwise} instead: {error}, or prepare it from files and give "
            f"--dataset {own}: {hints.jaxnets('data', 'prepare', 'SOURCE', '--name', own, *where)}"
        )
        return load(otherwise)
