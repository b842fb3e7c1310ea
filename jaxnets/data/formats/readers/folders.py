"""Images in one folder per class: `class/image`, or `split/class/image`."""

import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxnets.data.formats.kinds import EXTENSIONS
from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.contents import (
    DECIMALS,
    Contents,
    Example,
    Problems,
    check_classes,
    is_split,
    rest_of,
    split_of,
)
from jaxnets.errors import UserError

Place = tuple[str, str]  # split, class
NO_CLASSES = {"images", "image", "imgs", "img", "jpegimages", "masks", "mask", "labels", "annotations"}
TABLES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".xls", ".xlsx", ".yaml", ".parquet", ".mat")


def class_folders(
    archive: Archive, problems: Problems, classes: Sequence[str] | None, first_label: int | None
) -> Contents | None:
    """Returns the contents of class folders; None if there are none.

    The classes are in alphabetical order unless given in another. Outer folders that all images share
    (`flower_photos/`) are ignored, and so are files whose names are not those of images.

    Raises:
        UserError: If it is not clear which folders are classes and which splits, an image lies outside the
            class folders, a class folder is empty, there is one class only, or one that the training part
            does not have.
    """
    images = [name for name in archive.names if name.lower().endswith(EXTENSIONS)]
    if not images:
        return None
    if first_label is not None:
        raise UserError(f"the first label {first_label}: the classes of folders are names; leave it out")
    layout = _Layout(archive, images, classes)
    places = {name: place for name in images if (place := layout.place(name))}
    if not places:
        raise UserError(f"{archive.path} has images, but in no class folders: {_advice(archive)}")
    for name in [name for name in images if name not in places]:
        form = "split/class/image" if layout.splits else "class/image"
        problems(f"{archive.where(name)} is in no class folder: images must be at {form}")
    names = _order(archive, {name for split, name in places.values() if split == "train"}, classes)
    numbers = {name: number for number, name in enumerate(names)}
    filled = set(places.values())
    for folder in archive.folders:
        place = layout.place(f"{folder}/image")
        if place and place not in filled and not layout.place(folder):
            problems(f"{archive.where(folder)} is a class without an image: add some, or remove the folder")
    for image, (_, name) in list(places.items()):
        if name not in numbers:
            problems(f"{archive.where(image)}: the training part has no class {name}")
            del places[image]
    if classes is None:
        _check_folders(archive, names)

    def reader(split: str) -> Callable[[], Iterator[Example]]:
        wanted = {image: numbers[name] for image, (part, name) in places.items() if part == split}
        return lambda: (
            (archive.where(name), content, wanted[name]) for name, content in archive.read(wanted)
        )

    train = [numbers[name] for split, name in places.values() if split == "train"]
    if "train" in {split for split, _ in filled}:
        check_classes(names, train, problems, declared=True)
    parts = sorted({split for split, _ in filled})
    return Contents(tuple(names), {part: reader(part) for part in parts}, frozenset(images))


def _order(archive: Archive, found: set[str], classes: Sequence[str] | None) -> list[str]:
    """Returns the names of the classes in order."""
    if classes is None or sorted(classes) == sorted(found):
        return sorted(found) if classes is None else list(classes)
    some = ", ".join(sorted(found)[:10]) + ", ..." * (len(found) > 10)
    raise UserError(f"{archive.path} has the class folders {some}, not {', '.join(classes)}")


def _check_folders(archive: Archive, names: Sequence[str]) -> None:
    """Raises UserError if the folders cannot be classes: there is one, or one is named images or 0.5."""
    if len(names) == 1:
        raise UserError(f"{archive.path} has only one class folder, {names[0]}: {_advice(archive)}")
    odd = [name for name in names if name.lower() in NO_CLASSES or DECIMALS.fullmatch(name)]
    if odd:
        some = " ".join(names[:10]) + " ..." * (len(names) > 10)
        raise UserError(
            f"{archive.path} has a folder {odd[0]} where its classes should be: move away what is no class, "
            f"or say that it is one with --classes {some}"
        )


def _advice(archive: Archive) -> str:
    tables = [name for name in archive.names if name.lower().endswith(TABLES)]
    unread = f"; {', '.join(tables[:3])} could not be read as one" if tables else ""
    return (
        "put every class in a folder of its own, or give a text file with a line `image label` for each "
        f"image{unread}"
    )


class _Layout:
    """Where splits and classes are in the paths of images.

    Args:
        archive: Archive that holds the images.
        images: Names of the images.
        classes: Names of the classes if they are known.

    Attributes:
        splits: Whether there are folders of splits above those of the classes.

    Raises:
        UserError: If that is not clear.
    """

    def __init__(self, archive: Archive, images: Sequence[str], classes: Sequence[str] | None):
        folders = sorted({posixpath.dirname(name) for name in images})
        self._top = posixpath.commonpath(folders)
        if len(folders) == 1:  # it is a class
            self._top = posixpath.dirname(self._top)
        for part in filter(is_split, self._top.split("/")):
            if split_of(part) != "train":
                raise UserError(f"{archive.path} holds only {part}: name the training part train")
        paths = [folder.split("/") for folder in map(self._below, folders) if folder]
        known = classes is not None and {path[0] for path in paths} == set(classes)
        self.splits = not known and _has_splits(archive.path, paths)
        train = [path[1:] for path in paths if self.splits and split_of(path[0]) == "train"]
        self._class = self.splits + _shared(train)
        inner = next((path for path in paths if any(map(is_split, path[self._class + 1 :]))), None)
        if inner and classes is None:
            raise UserError(
                f"{archive.where(posixpath.join(self._top, *inner))} is a part of a class: put train and "
                "test above the classes, as in train/class/image"
            )

    def place(self, name: str) -> Place | None:
        """Returns the split and class of an image; None if it is in no class folder."""
        path = self._below(name).split("/")
        if len(path) < self._class + 2:
            return None
        split = split_of(path[0]) if self.splits else "train"
        return (split, path[self._class]) if split else None

    def _below(self, name: str) -> str:
        """Returns a path below the outermost folder; "" if it is elsewhere."""
        if not self._top:
            return name
        return name[len(self._top) + 1 :] if name.startswith(f"{self._top}/") else ""


def _has_splits(source: Path, paths: Sequence[Sequence[str]]) -> bool:
    """Returns whether the outermost folders are splits, given the paths of all folders with images."""
    names = sorted({path[0] for path in paths})
    parts = {name: split for name in names if (split := split_of(name))}
    rests = Counter(map(rest_of, parts))
    if parts and len(parts) == len(names) and (len(rests) == 1 or len(set(parts.values())) > 1):
        return True
    deep = any(len(path) > 1 and path[0] in parts for path in paths)
    if not parts or not (deep or "" in rests or max(rests.values()) > 1):
        return False  # a split is only in names such as bullet_train, among other vehicles
    others = [name for name in names if name not in parts]
    both = f"{', '.join([*parts][:3])}{' beside ' * bool(others)}{', '.join(others[:3])}"
    some = " ".join(names[:10]) + " ..." * (len(names) > 10)
    raise UserError(
        f"{source} has the folders {both}: if they are parts of the data, name them train, test or "
        f"validation, and move away others; if they are classes, say so with --classes {some}"
    )


def _shared(paths: Sequence[list[str]]) -> int:
    """Returns how many outer folders all paths share, and a class below them: train/images/class has one."""
    shared = len(posixpath.commonprefix(paths)) if paths else 0
    return shared - 1 if shared and len({*map(tuple, paths)}) == 1 else shared
