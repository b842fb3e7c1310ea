"""Readers of what users have on disk: a folder, tar or zip goes in, classes and examples come out."""

import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.cifar import cifar_batches
from jaxnets.data.formats.readers.contents import MOST_CLASSES, Contents, Problems
from jaxnets.data.formats.readers.folders import class_folders
from jaxnets.data.formats.readers.idx import idx_files
from jaxnets.data.formats.readers.labelled import labelled
from jaxnets.data.formats.readers.walk import CONTROL, ESCAPED
from jaxnets.errors import UserError

__all__ = ["Archive", "Contents", "Problems", "read_contents"]

LAYOUTS = (idx_files, cifar_batches, labelled, class_folders)


def read_contents(
    path: Path,
    problems: Problems,
    classes: Sequence[str] | None = None,
    *,
    first_label: int | None = None,
    encoding: str = "utf-8",
) -> Contents:
    """Returns the contents of a folder, tar or zip, whichever of the known layouts it has.

    Args:
        path: Path of the folder, tar (plain, gz, bz2, xz) or zip.
        problems: What to do about single examples that are wrong.
        classes: Names of the labels if the files have only numbers, or the folders' names in another order.
        first_label: The smallest label, if labels are numbers. By default 0, which must be among them.
        encoding: Encoding of names and label files that are not UTF-8, such as "gbk".

    Raises:
        UserError: If its layout is not clear, there is nothing to train on, or something is damaged.
    """
    if classes is not None:
        check_names(classes, "the names given")
    if first_label is not None and not 0 <= first_label < MOST_CLASSES:
        raise UserError(f"the first label {first_label}: it must be 0 to {MOST_CLASSES - 1}")
    archive = Archive(path, encoding)
    for message in archive.lost:
        problems(message)
    for layout in LAYOUTS:
        if contents := layout(archive, problems, classes, first_label):
            break
    else:
        raise UserError(
            f"{path} holds no IDX files (train-images-idx3-ubyte), no CIFAR batches, no text file of lines "
            "`image label` and no folders of images, one per class, but "
            f"{_kinds(archive.names) or 'nothing'}: arrange it as one of these"
        )
    if "train" not in contents.splits:
        raise UserError(f"{path} holds only {', '.join(contents.splits)}: name the training part train")
    check_names(contents.classes, f"the classes of {path}")
    others = [name for name in archive.names if name not in contents.files]
    if others:
        problems.unused.append(_kinds(others))
    return contents


def check_names(classes: Sequence[str], where: str) -> None:
    """Raises UserError if two classes have one name, or if a name is not plain text on one line."""
    for name, count in Counter(classes).items():
        if count > 1:
            raise UserError(
                f"{where} have the class {name!r} {count} times: give every class a name of its own"
            )
        if ESCAPED.search(name):
            raise UserError(f"{where}: {name} is not in UTF-8: give the encoding, such as --encoding gbk")
        if not name or name != name.strip() or CONTROL.search(name):
            raise UserError(f"{where}: {name!r} is no name: use text on one line, without spaces at its ends")


def _kinds(names: Sequence[str]) -> str:
    """Returns how many files there are of every ending."""
    endings = Counter(posixpath.splitext(name)[1].lower() or "without ending" for name in names)
    some = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(8))
    return (
        f"{len(names):,} file{'s' * (len(names) > 1)} ({some}{', ...' * (len(endings) > 8)})" if names else ""
    )
