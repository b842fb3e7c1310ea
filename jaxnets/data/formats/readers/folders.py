"""Images in one folder per class: `class/image`, or `split/class/image`."""

import posixpath
from collections.abc import Callable, Iterator, Sequence

from jaxnets.data.formats.images import EXTENSIONS
from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.contents import SPLITS, Contents, Example, Problems, check_classes
from jaxnets.errors import UserError

Place = tuple[str, str]  # split, class


def class_folders(archive: Archive, problems: Problems, classes: Sequence[str] | None) -> Contents | None:
    """Returns the contents of class folders; None if there are none.

    The classes are in alphabetical order unless given in another. Outer folders that all images share
    (`flower_photos/`) are ignored, and so are files whose names are not those of images.

    Raises:
        UserError: If an image lies outside the class folders, a class folder is empty, or there is a class
            that the training part does not have.
    """
    images = [name for name in archive.names if name.lower().endswith(EXTENSIONS)]
    if not images:
        return None
    top = posixpath.commonpath([posixpath.dirname(name) for name in images])
    if posixpath.dirname(images[0]) == top:  # one folder holds them all: it is a class
        top = posixpath.dirname(top)
    firsts = {parts[0] for name in images if len(parts := _below(top, name)) > 1}
    splits = bool(firsts) and all(first.lower() in SPLITS for first in firsts)
    places: dict[str, Place] = {}
    for name in images:
        parts = _below(top, name)
        if len(parts) < 2 + splits:
            form = "split/class/image" if splits else "class/image"
            problems(f"{archive.where(name)} is in no class folder: images must be at {form}")
        else:
            places[name] = _place(parts, splits)
    if not places:
        return None
    names = sorted({name for split, name in places.values() if split == "train"})
    if classes is not None:
        if sorted(classes) != names:
            raise UserError(
                f"{archive.path} has the class folders {', '.join(names)}, not {', '.join(classes)}"
            )
        names = list(classes)
    numbers = {name: number for number, name in enumerate(names)}
    filled = set(places.values())
    for folder in archive.folders:
        parts = _below(top, folder)
        if len(parts) == 1 + splits and _place(parts, splits) not in filled:
            problems(f"{archive.where(folder)} is a class without an image: add some, or remove the folder")
    for image, (_, name) in list(places.items()):
        if name not in numbers:
            problems(f"{archive.where(image)}: the training part has no class {name}")
            del places[image]

    def reader(split: str) -> Callable[[], Iterator[Example]]:
        wanted = {image: numbers[name] for image, (part, name) in places.items() if part == split}
        return lambda: (
            (archive.where(name), content, wanted[name]) for name, content in archive.read(wanted)
        )

    train = [numbers[name] for split, name in places.values() if split == "train"]
    if train:
        check_classes(names, train, problems)
    return Contents(tuple(names), {part: reader(part) for part in sorted({split for split, _ in filled})})


def _below(top: str, name: str) -> list[str]:
    """Returns the parts of a path below `top`; [] if it lies elsewhere."""
    if not top:
        return name.split("/")
    return name[len(top) + 1 :].split("/") if name.startswith(f"{top}/") else []


def _place(parts: Sequence[str], splits: bool) -> Place:
    return (SPLITS.get(parts[0].lower(), parts[0]), parts[1]) if splits else ("train", parts[0])
