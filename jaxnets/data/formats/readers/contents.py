"""What every reader returns: classes, splits, and examples one after another, with bad ones reported."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxnets.errors import UserError

SPLITS = {  # names of folders and files, and TFDS's names
    **dict.fromkeys(("training", "train"), "train"),
    **dict.fromkeys(("testing", "test", "t10k"), "test"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
}
SPLIT_IN_NAME = re.compile(rf"(?<![a-z])({'|'.join(SPLITS)})(?![a-z])")

Example = tuple[str, np.ndarray | bytes, int]  # its origin, its image (decoded or as in the file), its label


@dataclass
class Problems:
    """What to do about a faulty example: stop with a message, or note the message and leave it out.

    Attributes:
        skip: Whether to continue.
        found: The messages so far.
    """

    skip: bool = False
    found: list[str] = field(default_factory=list)

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
    """

    classes: tuple[str, ...]
    splits: dict[str, Callable[[], Iterator[Example]]]


def split_of(name: str) -> str | None:
    """Returns the split that the name of a file or folder contains, by its TFDS name; None without one.

    Examples:
        >>> split_of("emnist-t10k-"), split_of("mnist_train_jpg_60000"), split_of("trainers")
        ('test', 'train', None)
    """
    found = SPLIT_IN_NAME.findall(name.lower())
    return SPLITS[found[-1]] if found else None


def from_arrays(
    arrays: dict[str, tuple[np.ndarray, np.ndarray, str]], problems: Problems, classes: Sequence[str] | None
) -> Contents:
    """Returns the contents of decoded images, given (images, labels, the labels' origin) for every split."""
    if classes is None:
        most = max(int(labels.max(initial=0)) for _, labels, _ in arrays.values())
        classes = [str(label) for label in range(most + 1)]
    kept, last = {}, len(classes) - 1
    for split, (_, labels, where) in arrays.items():
        right = (labels >= 0) & (labels <= last)
        for row in np.flatnonzero(~right):
            problems(f"{where}: example {row} has label {labels[row]}, and the labels are 0 to {last}")
        kept[split] = np.flatnonzero(right)

    def reader(split: str) -> Callable[[], Iterator[Example]]:
        images, labels, where = arrays[split]
        return lambda: ((f"{where}, example {row}", images[row], int(labels[row])) for row in kept[split])

    if "train" in arrays:
        check_classes(classes, arrays["train"][1][kept["train"]].tolist(), problems)
    return Contents(tuple(classes), {split: reader(split) for split in arrays})


def check_classes(classes: Sequence[str], labels: Sequence[int], problems: Problems) -> None:
    """Reports classes without a training example: one label that is far too large leaves many of them."""
    counts = Counter(labels)
    empty = [name for label, name in enumerate(classes) if not counts[label]]
    if empty:
        some = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        problems(
            f"{len(empty)} of {len(classes)} classes have no training example ({some}): "
            "a label is wrong, or their examples are missing"
        )
