"""Readers of what users have on disk: a folder or tar goes in, classes and examples come out."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.cifar import cifar_batches
from jaxnets.data.formats.readers.contents import Contents, Problems
from jaxnets.data.formats.readers.folders import class_folders
from jaxnets.data.formats.readers.idx import idx_files
from jaxnets.data.formats.readers.labelled import labelled
from jaxnets.errors import UserError

__all__ = ["Archive", "Contents", "Problems", "read_contents"]

LAYOUTS = (idx_files, cifar_batches, labelled, class_folders)


def read_contents(path: Path, problems: Problems, classes: Sequence[str] | None = None) -> Contents:
    """Returns the contents of a folder or tar, whichever of the known layouts it has.

    Args:
        path: Path of the folder or tar (plain, gz, bz2, xz).
        problems: What to do about single examples that are wrong.
        classes: Names of the labels if the files have only numbers, or the folders' names in another order.

    Raises:
        UserError: If its layout is unknown, there is nothing to train on, or something is damaged.
    """
    archive = Archive(path)
    twice = next((name for name, count in Counter(archive.names).items() if count > 1), None)
    if twice:
        raise UserError(f"{archive.where(twice)} is there more than once: pack it again")
    for layout in LAYOUTS:
        if contents := layout(archive, problems, classes):
            break
    else:
        raise UserError(
            f"{path} holds no IDX files (train-images-idx3-ubyte), no CIFAR batches, no text file of lines "
            "`image label` and no folders of images, one per class: arrange it as one of these"
        )
    if "train" not in contents.splits:
        raise UserError(f"{path} holds only {', '.join(contents.splits)}: name the training part train")
    return contents
