"""Images with one text file per split, which has a line `image label` for each of them."""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxnets.data.formats.images import EXTENSIONS
from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.contents import Contents, Example, Problems, check_classes, split_of
from jaxnets.errors import UserError

LINE = re.compile(r"\s*(.*?\S)[\s,;]+(\S+)\s*")
MOST_CLASSES = 100_000  # a greater number is not a label


@dataclass(frozen=True)
class Labelled:
    """A line of a label file: the image's name in the archive, its label, and where the line is."""

    name: str
    label: str
    where: str


def labelled(archive: Archive, problems: Problems, classes: Sequence[str] | None) -> Contents | None:
    """Returns the contents of label files; None if there is none.

    The images lie beside the text file or in a folder of the same name (`digits.txt`, `digits/7.png`).

    Raises:
        UserError: If there are two files for one split, or a line is wrong; the message names file and line.
    """
    texts = {name: text for name, text in _texts(archive) if _is_label_file(text)}
    if not texts:
        return None
    files: dict[str, str] = {}
    for name in texts:
        split = split_of(posixpath.basename(name)) or ("train" if len(texts) == 1 else None)
        if split is None:
            raise UserError(f"{archive.where(name)}: with several label files, name each train or test")
        if split in files:
            raise UserError(f"{archive.where(name)} and {archive.where(files[split])} are both for {split}")
        files[split] = name
    lines = {}
    for split, name in files.items():
        folders = (posixpath.splitext(name)[0], posixpath.dirname(name))
        lines[split] = parse_labels(texts[name], archive.where(name), archive, folders, problems)
    return from_labels(archive, lines, problems, classes)


def from_labels(
    archive: Archive, lines: dict[str, list[Labelled]], problems: Problems, classes: Sequence[str] | None
) -> Contents:
    """Returns the contents of an archive, given the lines of its label files by split."""
    numbers, names = _number(lines, problems, classes)

    def reader(split: str) -> Callable[[], Iterator[Example]]:
        wanted = {line.name: numbers[line.label] for line in lines[split] if line.label in numbers}
        return lambda: (
            (archive.where(name), content, wanted[name]) for name, content in archive.read(wanted)
        )

    if "train" in lines:
        train = [numbers[line.label] for line in lines["train"] if line.label in numbers]
        check_classes(names, train, problems)
    return Contents(tuple(names), {split: reader(split) for split in lines})


def parse_labels(
    text: str, where: str, archive: Archive, folders: Sequence[str], problems: Problems
) -> list[Labelled]:
    """Returns the lines of a label file whose images exist; empty lines are ignored.

    Args:
        text: Text of the file.
        where: Name of the file, for messages.
        archive: Archive that holds the images.
        folders: Folders of the archive in which they may lie.
        problems: What to do about a line that is not `image label`, or that names an image which does not
            exist or which an earlier line has named.
    """
    there = set(archive.names)
    found: dict[str, Labelled] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        here, match = f"{where}, line {number}", LINE.fullmatch(line)
        if match is None:
            problems(f"{here}: {line.strip()[:60]!r} is not an image's name and a label")
            continue
        places = [posixpath.normpath(posixpath.join(folder, match[1])) for folder in folders]
        image = next((place for place in places if place in there), None)
        if image is None:
            problems(f"{here}: there is no image {' or '.join(places)}")
        elif image in found:
            problems(f"{here}: {match[1]} was given a label before, in {found[image].where}")
        else:
            found[image] = Labelled(image, match[2], here)
    return list(found.values())


def _number(
    lines: dict[str, list[Labelled]], problems: Problems, classes: Sequence[str] | None
) -> tuple[dict[str, int], Sequence[str]]:
    """Returns the number of every valid label, and the names of the classes in the order of their numbers."""
    every = [line for split in ("train", *sorted(lines.keys() - {"train"})) for line in lines.get(split, ())]
    labels = dict.fromkeys(line.label for line in every)
    if not every or not every[0].label.isdecimal():  # names: those of the training part, in their order
        known = sorted({line.label for line in lines.get("train", every)})
        names = list(classes) if classes is not None else known
        numbers = {label: names.index(label) for label in labels if label in names}
        right = f"a class of the training examples ({', '.join(names[:5])}{', ...' * (len(names) > 5)})"
    else:
        most = min(len(classes) if classes is not None else MOST_CLASSES, MOST_CLASSES) - 1
        numbers = {label: int(label) for label in labels if label.isdecimal() and len(label) < 9}
        numbers = {label: number for label, number in numbers.items() if number <= most}
        names = list(classes or map(str, range(max(numbers.values(), default=0) + 1)))
        right = f"a number from 0 to {most}"
    for line in every:
        if line.label not in numbers:
            problems(f"{line.where}: the label {line.label!r} is not {right}")
    return numbers, names


def _texts(archive: Archive) -> Iterator[tuple[str, str]]:
    names = [name for name in archive.names if name.lower().endswith(".txt")]
    if not names:
        return
    for name, content in archive.read(names):
        try:
            yield name, content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise UserError(f"{archive.where(name)}, line {line}: not text in UTF-8") from error


def _is_label_file(text: str) -> bool:
    matches = (LINE.fullmatch(line) for line in text.splitlines())
    return any(match is not None and match[1].lower().endswith(EXTENSIONS) for match in matches)
