"""Images with text files that have a line `image label` for each of them, one file per split."""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.contents import (
    DECIMALS,
    MOST_CLASSES,
    Contents,
    Example,
    Problems,
    check_classes,
    first_of,
    is_split,
    split_of,
)
from jaxnets.data.formats.readers.finder import Finder
from jaxnets.data.formats.readers.lines import Table, read_table
from jaxnets.data.formats.readers.walk import ESCAPED, readable
from jaxnets.errors import UserError

TEXTS = (".txt", ".csv", ".tsv", ".tab", ".lst", ".list")
CHECKSUM = re.compile(r"[0-9a-f]{32,}", re.IGNORECASE)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how a text in it begins, as Excel and Notepad write it


@dataclass(frozen=True)
class Labelled:
    """A line of a label file: the image's name in the archive, its label and split, and where the line is."""

    name: str
    label: str
    where: str
    split: str | None = None


def labelled(
    archive: Archive, problems: Problems, classes: Sequence[str] | None, first_label: int | None
) -> Contents | None:
    """Returns the contents of label files; None if there is none.

    Raises:
        UserError: If a text file names images but not clearly their labels, there are two for one split, or a
            line is wrong; the message names file and line.
    """
    finder, tables = Finder(archive), {}
    for name, content in archive.read([name for name in archive.names if name.lower().endswith(TEXTS)]):
        table = read_table(_text(content, archive.encoding), finder.is_image)
        if table is None:
            continue
        if table.unclear:
            raise UserError(
                f"{archive.where(name)} names images, but not clearly their labels, since {table.unclear}: "
                "give it two columns, image and label, or move it away"
            )
        if not table.lines or _is_index(table, finder):
            problems.unused.append(f"{archive.where(name)} lists images without labels")
        else:
            tables[name] = table
    if not tables:
        return None
    lines: dict[str, list[Labelled]] = defaultdict(list)
    for name, split in _splits(tables, archive).items():
        lines[split] = []
        folders = (posixpath.splitext(name)[0], posixpath.dirname(name))
        for line in _find_images(tables[name], archive.where(name), finder, folders, split, problems):
            lines[line.split or split].append(line)
    _check_parts(lines, problems)
    files = {*tables, *(line.name for part in lines.values() for line in part)}
    return from_labels(archive, lines, problems, classes, first_label, frozenset(files))


def _text(content: bytes, encoding: str) -> str:
    if content.startswith(UTF_16):
        return content.decode("utf-16", "replace")
    return readable(content.removeprefix(b"\xef\xbb\xbf"), encoding)


def _is_index(table: Table, finder: Finder) -> bool:
    """Returns whether a file has checksums, or only numbers images in several folders, as that of CUB-200."""
    labels = [line.label for line in table.lines]
    if all(map(CHECKSUM.fullmatch, labels)):
        return True
    if not all(label.isdecimal() and len(label) < 9 for label in labels):
        return False
    folders = {posixpath.dirname(name) for line in table.lines for name in finder.find(line.image)}
    first = int(labels[0])
    return len(labels) > len(folders) > 1 and [*map(int, labels)] == [*range(first, first + len(labels))]


def _splits(tables: dict[str, Table], archive: Archive) -> dict[str, str]:
    """Returns the split of every label file, from its name or a folder's."""
    files: dict[str, str] = {}
    for name in tables:
        *folders, last = name.split("/")
        split = split_of(last) or next((split_of(one) for one in folders[::-1] if is_split(one)), None)
        if split is None and len(tables) > 1:
            raise UserError(f"{archive.where(name)}: with several label files, name each train or test")
        split = split or "train"
        if split in files:
            raise UserError(f"{archive.where(name)} and {archive.where(files[split])} are both for {split}")
        files[split] = name
    return {name: split for split, name in files.items()}


def _check_parts(lines: dict[str, list[Labelled]], problems: Problems) -> None:
    """Leaves out what is held out, but trained on as well."""
    trained = {line.name for line in lines.get("train", ())}
    for split in lines.keys() - {"train"}:
        for line in lines[split]:
            if line.name in trained:
                problems(f"{line.where}: {line.name} is among the training images, too")
        lines[split] = [line for line in lines[split] if line.name not in trained]


def from_labels(
    archive: Archive,
    lines: dict[str, list[Labelled]],
    problems: Problems,
    classes: Sequence[str] | None,
    first_label: int | None = None,
    files: frozenset[str] = frozenset(),
) -> Contents:
    """Returns the contents of an archive, given the lines of its label files by split."""
    numbers, names = _number(lines, problems, classes, first_label)

    def reader(split: str) -> Callable[[], Iterator[Example]]:
        wanted = {line.name: numbers[line.label] for line in lines[split] if line.label in numbers}
        return lambda: (
            (archive.where(name), content, wanted[name]) for name, content in archive.read(wanted)
        )

    if "train" in lines:
        train = [numbers[line.label] for line in lines["train"] if line.label in numbers]
        check_classes(names, train, problems, declared=classes is not None)
    return Contents(tuple(names), {split: reader(split) for split in lines}, files)


def parse_labels(text: str, where: str, archive: Archive, problems: Problems) -> list[Labelled]:
    """Returns the lines of a label file whose images exist; empty lines are ignored.

    Args:
        text: Text of the file.
        where: Name of the file, for messages.
        archive: Archive that holds the images.
        problems: What to do about a line that is not `image label`, or that names an image which does not
            exist or which an earlier line has named.

    Raises:
        UserError: If most lines name no image, or it is not clear which label they have.
    """
    finder = Finder(archive)
    table = read_table(text, finder.is_image)
    if table is None or table.unclear:
        why = table.unclear if table else "more than half of its lines name no image"
        raise UserError(f"{where} has no line `image label` for each image, since {why}")
    return _find_images(table, where, finder, ("",), None, problems)


def _find_images(
    table: Table, where: str, finder: Finder, folders: Sequence[str], split: str | None, problems: Problems
) -> list[Labelled]:
    """Returns the lines whose image there is, once, with one label."""
    found: dict[str, Labelled] = {}
    torn = set()  # images of two labels, of which nobody knows the right one
    for line in table.lines:
        here = f"{where}, line {line.number}"
        images = finder.find(line.image, folders, line.split or split)
        if ESCAPED.search(line.wrong + line.label):  # then even labels that look right may be others
            raise UserError(f"{here}: not text in UTF-8: give its encoding, such as --encoding gbk")
        if line.wrong:
            problems(f"{here}: {line.wrong[:60]!r} is not an image's name and a label")
        elif not images:
            problems(f"{here}: there is no image {line.image[:100]}")
        elif len(images) > 1:
            problems(f"{here}: {line.image} may be {images[0]} or {images[1]}")
        elif (image := images[0]) in found:
            problems(f"{here}: {line.image} was given a label before, in {found[image].where}")
            torn |= {image} if line.label != found[image].label else set()
        else:
            found[image] = Labelled(image, line.label, here, line.split)
    return [line for image, line in found.items() if image not in torn]


def _number(
    lines: dict[str, list[Labelled]],
    problems: Problems,
    classes: Sequence[str] | None,
    first_label: int | None,
) -> tuple[dict[str, int], Sequence[str]]:
    """Returns the number of every valid label, and the names of the classes in the order of their numbers."""
    every = [line for split in ("train", *sorted(lines.keys() - {"train"})) for line in lines.get(split, ())]
    labels = Counter(line.label for line in every)
    numeric = 2 * sum(count for label, count in labels.items() if label.isdecimal()) >= len(every) > 0
    if numeric and (classes is None or not labels.keys() <= set(classes)):
        values = {label: int(label) for label in labels if label.isdecimal() and len(label) < 9}
        _report([line for line in every if line.label not in values], "a number, as most are", problems)
        trained = [values[line.label] for line in lines.get("train", ()) if line.label in values]
        first = first_of(trained, first_label, every[0].where.rpartition(", line")[0])
        last = first + min(len(classes) if classes is not None else MOST_CLASSES, MOST_CLASSES) - 1
        numbers = {label: value - first for label, value in values.items() if first <= value <= last}
        beyond = [line for line in every if line.label in values.keys() - numbers.keys()]
        _report(beyond, f"a number from {first} to {last}", problems)
        return numbers, classes or [*map(str, range(first, first + max(numbers.values(), default=0) + 1))]
    if first_label is not None:
        raise UserError(f"the first label {first_label}: the labels are words, not numbers; leave it out")
    known = {line.label for line in lines.get("train", every) if not DECIMALS.fullmatch(line.label)}
    names = sorted(known) if classes is None else classes
    numbers = {name: number for number, name in enumerate(names) if name in labels}
    some = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
    right = f"a class of the training examples ({some})"
    _report([line for line in every if line.label not in numbers], right, problems)
    return numbers, names


def _report(lines: Sequence[Labelled], right: str, problems: Problems) -> None:
    for line in lines:
        what = "a number with decimals, not a class" if DECIMALS.fullmatch(line.label) else f"not {right}"
        problems(f"{line.where}: the label {line.label[:60]!r} is {what}")
