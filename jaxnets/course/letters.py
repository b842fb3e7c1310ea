"""Letters from which to predict the next one, from a text and its alphabet."""

import numpy as np

from jaxnets.data.source import ArraySource
from jaxnets.errors import UserError


def letters(
    text: str,
    window: int = 1,
    *,
    alphabet: str | None = None,
    one_hot: bool = True,
    cyclic: bool = True,
) -> ArraySource:
    """Returns all windows of consecutive letters of a text, labelled with the letter after them.

    Source: docs/results.md, rows D2 to D5.

    Args:
        text: The text; "abcde" or the 26 letters in the documents.
        window: Number of letters to predict from.
        alphabet: The classes in their order. By default the text's letters, sorted.
        one_hot: Whether an example is float32 (window, letters), or else int32 (window,) for an embedding.
        cyclic: Whether the first letter follows the last.

    Raises:
        UserError: If a letter is not in the alphabet or is in it twice, or the text is too short.

    Examples:
        >>> source = letters("abcde", 4, one_hot=False)
        >>> source.x[1].tolist(), source.features.classes[source.y[1]]
        ([1, 2, 3, 4], 'a')
    """
    alphabet = "".join(sorted(set(text))) if alphabet is None else alphabet
    if len(set(alphabet)) < len(alphabet):
        raise UserError(f"the alphabet {alphabet!r} has a letter twice")
    if strange := sorted(set(text) - set(alphabet)):
        raise UserError(f"the letter {strange[0]!r} of the text is not in the alphabet {alphabet!r}")
    count = len(text) if cyclic else len(text) - window
    if window < 1 or count < 1:
        raise UserError(f"a text of {len(text)} letters has no window of {window} with a letter after it")
    ids = np.array([alphabet.index(letter) for letter in text])
    places = (np.arange(count)[:, None] + np.arange(window + 1)) % len(text)
    x, y = ids[places[:, :-1]], ids[places[:, -1]]
    return ArraySource(_as_input(x, alphabet, one_hot), y, list(alphabet))


def encode(text: str, window: int, *, alphabet: str, one_hot: bool = True) -> np.ndarray:
    """Returns one window of letters, encoded as by `letters`: (window, letters) or (window,).

    Raises:
        UserError: If a letter is not in the alphabet, or there are not `window` of them.

    Examples:
        >>> encode("cab", 3, alphabet="abcde", one_hot=False).tolist()
        [2, 0, 1]
    """
    for letter in text:
        if letter not in alphabet:
            raise UserError(f"{text!r}: the letter {letter!r} is not one of {alphabet}")
    if len(text) != window:
        what = "letter" if window == 1 else "letters"
        raise UserError(f"{text!r}: the network takes {window} {what}, not {len(text)}")
    ids = np.array([alphabet.index(letter) for letter in text])
    return _as_input(ids, alphabet, one_hot)


def _as_input(ids: np.ndarray, alphabet: str, one_hot: bool) -> np.ndarray:
    return np.eye(len(alphabet), dtype=np.float32)[ids] if one_hot else ids.astype(np.int32)
