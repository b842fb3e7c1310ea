"""Letters (chapter 6): windows of an alphabet and the letter after each, as ids."""

import numpy as np

from jaxnets.data.source import ArraySource
from jaxnets.errors import UserError


def letters(alphabet: str, length: int, *, circular: bool) -> ArraySource:
    """Returns every run of `length` letters, x (N, length) int32 ids, and y (N,), the letter that follows.

    Args:
        alphabet: the letters in their order; an id is the place in it.
        length: letters in a run.
        circular: whether the first letter follows the last, which makes as many runs as letters.

    Example:
        >>> source = letters("abcde", 4, circular=True)
        >>> source.x.tolist()[1], source.y.tolist()[1]  # bcde, then a
        ([1, 2, 3, 4], 0)
        >>> len(letters("abcde", 4, circular=False))
        1
    """
    size = len(alphabet)
    starts = np.arange(size if circular else size - length)
    runs = (starts[:, None] + np.arange(length + 1)) % size
    return ArraySource(runs[:, :-1], runs[:, -1], classes=tuple(alphabet))


def encode(text: str, alphabet: str, length: int) -> np.ndarray:
    """Returns the ids (length,) int32 of a text.

    Raises:
        UserError: a letter is not of the alphabet, or there are not `length` of them.

    Example:
        >>> encode("cab", "abcde", 3).tolist()
        [2, 0, 1]
    """
    strange = [letter for letter in text if letter not in alphabet]
    if strange:
        raise UserError(f"{text!r}: the letter {strange[0]!r} is not one of {alphabet}")
    if len(text) != length:
        what = "letter" if length == 1 else "letters"
        raise UserError(f"{text!r}: the network takes {length} {what}, not {len(text)}")
    return np.array([alphabet.index(letter) for letter in text], np.int32)
