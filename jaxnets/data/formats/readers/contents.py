"""What every reader returns: classes, splits, and examples one after another, with bad ones reported."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxnets.errors import UserError

SPLITS = {  # words in the names of folders and files, and TFDS's names
    **dict.fromkeys(("training", "train", "trn", "训练"), "train"),
    **dict.fromkeys(("testing", "test", "tst", "t10k", "holdout", "测试"), "test"),
    **dict.fromkeys(
        ("validation", "valid", "val", "development", "dev", "evaluation", "eval", "验证"), "validation"
    ),
}
WORDS = "|".join(sorted(SPLITS, key=len, reverse=True))
SPLIT_IN_NAME = re.compile(rf"(?<![a-z])({WORDS})(?:[ _-]?(?:set|data|集))?(?![a-z])")
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # of trainImages, between two words
MOST_CLASSES = 100_000  # a greater number is not a label
DECIMALS = re.compile(r"[+-]?(\d+\.\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # no names of classes
OTHER = re.compile(r"[\W\d_]+")

Example = tuple[str, np.ndarray | bytes, int]  # its origin, its image (decoded or as in the file), its label


@dataclass
class Problems:
    """What to do about a faulty example: stop with a message, or note the message and leave it out.

    Attributes:
        skip: Whether to continue.
        found: The messages so far.
        unused: What is no fault, but not used either: files that are not images, and the like.
    """

    skip: bool = False
    found: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __call__(self, message: str | UserError) -> None:
        """Raises UserError with the message, or notes it."""
        if not self.skip:
            raise UserError(str(message))
        self.found.append(str(message))


@dataclass(frozen=True)
class Contents:
    """The contents that a reader found.

    Attributes:
        classes: The names of the labels.
        splits: For every split ("train", "test", "validation"), a function that reads its examples in one
            pass.
        files: Names of the files that belong to it, and of those that have been reported.
    """

    classes: tuple[str, ...]
    splits: dict[str, Callable[[], Iterator[Example]]]
    files: frozenset[str] = frozenset()


def split_of(name: str) -> str | None:
    """Returns the split that the name of a file or folder contains, by its TFDS name; None without one.

    Examples:
        >>> split_of("emnist-t10k-"), split_of("seg_train"), split_of("trainers"), split_of("valSet")
        ('test', 'train', None, 'validation')
    """
    found = SPLIT_IN_NAME.findall(HUMP.sub("_", name).lower())
    return SPLITS[found[-1]] if found else None


def rest_of(name: str) -> str:
    """Returns what a name contains besides a split, digits and punctuation.

    Examples:
        >>> rest_of("Train2017"), rest_of("seg_test"), rest_of("bullet train")
        ('', 'seg', 'bullet')
    """
    return OTHER.sub("", SPLIT_IN_NAME.sub("", HUMP.sub("_", name).lower()))


def is_split(name: str) -> bool:
    """Returns whether a name is that of a split and says nothing else."""
    return split_of(name) is not None and not rest_of(name)


def from_arrays(
    arrays: dict[str, tuple[np.ndarray, np.ndarray, str]],
    files: Collection[str],
    problems: Problems,
    classes: Sequence[str] | None,
    first_label: int | None,
) -> Contents:
    """Returns the contents of decoded images, given (images, labels, the labels' origin) for every split."""
    if "train" in arrays:
        first_label = first_of(arrays["train"][1], first_label, arrays["train"][2])
    first = first_label or 0
    declared = classes is not None
    if classes is None:
        most = max(int(labels.max(initial=first)) for _, labels, _ in arrays.values())
        classes = [str(label) for label in range(first, most + 1)]
    kept, last = {}, first + len(classes) - 1
    for split, (_, labels, where) in arrays.items():
        right = (labels >= first) & (labels <= last)
        for row in np.flatnonzero(~right):
            problems(f"{where}: example {row} has label {labels[row]}, and the labels are {first} to {last}")
        kept[split] = np.flatnonzero(right)

    def reader(split: str) -> Callable[[], Iterator[Example]]:
        images, labels, where = arrays[split]
        return lambda: (
            (f"{where}, example {row}", images[row], int(labels[row]) - first) for row in kept[split]
        )

    if "train" in arrays:
        train = arrays["train"][1][kept["train"]] - first
        check_classes(classes, train.tolist(), problems, declared=declared)
    return Contents(tuple(classes), {split: reader(split) for split in arrays}, frozenset(files))


def first_of(labels: Collection[int] | np.ndarray, first_label: int | None, where: str) -> int:
    """Returns the smallest label: the one given, or 0 if the training labels begin there.

    Raises:
        UserError: If no first label is given and 0 is not among them. This is never skipped: it would make a
            class that no image has.
    """
    if first_label is not None or not len(labels):
        return first_label or 0
    low, high = int(min(labels)), int(max(labels))
    if low > 0:
        raise UserError(
            f"{where}: the labels run from {low} to {high}: give --first-label {low}, or 0 if examples of "
            "the first classes are missing"
        )
    return 0


def check_classes(
    classes: Sequence[str], labels: Sequence[int], problems: Problems, *, declared: bool
) -> None:
    """Checks that there are examples to tell apart: of two classes, and of every one.

    Args:
        classes: Names of the classes.
        labels: Labels of the training examples.
        problems: What to do about classes without a training example, if the user or a file names them. Those
            that only a number implies are refused in any case: one label that is far too large makes many.
        declared: Whether the classes are named.

    Raises:
        UserError: If there are not.
    """
    counts = Counter(labels)
    if not counts:
        why = f": {problems.found[0]}" if problems.found else ""
        raise UserError(f"nothing is left to train on{why}")
    empty = [name for label, name in enumerate(classes) if not counts[label]]
    if empty:
        some = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        message = (
            f"{len(empty)} of {len(classes)} classes have no training example ({some}): "
            "a label is wrong, or their examples are missing"
        )
        if not declared:
            raise UserError(message)
        problems(message)
    if len(counts) == 1:
        raise UserError(
            f"all training examples are of one class ({classes[next(iter(counts))]}): a network needs two or "
            "more to tell apart"
        )
