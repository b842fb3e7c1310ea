"""Runs of letters, beside the document's own lists."""

import string

import pytest

from jaxnets.data.letters import encode, letters
from jaxnets.errors import UserError


def spelled(source, alphabet):
    return [("".join(alphabet[i] for i in x), alphabet[y]) for x, y in zip(source.x, source.y, strict=True)]


def test_five_letters_go_round():
    one = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "a")]
    four = [("abcd", "e"), ("bcde", "a"), ("cdea", "b"), ("deab", "c"), ("eabc", "d")]
    assert spelled(letters("abcde", 1, circular=True), "abcde") == one
    assert spelled(letters("abcde", 4, circular=True), "abcde") == four


def test_the_alphabet_ends_with_z():
    """x_train.append(ids[i - 4:i]), y_train.append(ids[i]) for i in range(4, 26): 22 of them."""
    source = letters(string.ascii_lowercase, 4, circular=False)
    assert source.x.tolist() == [[i - 4, i - 3, i - 2, i - 1] for i in range(4, 26)]
    assert source.y.tolist() == list(range(4, 26))
    assert (source.features.dtype, source.features.classes) == ("int32", tuple(string.ascii_lowercase))


def test_a_text_becomes_ids():
    assert encode("deab", "abcde", 4).tolist() == [3, 4, 0, 1]


@pytest.mark.parametrize(
    "text, message",
    [
        ("abcf", "'abcf': the letter 'f' is not one of abcde"),
        ("ABCD", "'ABCD': the letter 'A' is not one of abcde"),
        ("a b", "'a b': the letter ' ' is not one of abcde"),
        ("abc", "'abc': the network takes 4 letters, not 3"),
        ("", "'': the network takes 4 letters, not 0"),
    ],
)
def test_what_is_no_such_text_is_one_sentence(text, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        encode(text, "abcde", 4)


def test_one_letter_is_called_one_letter():
    with pytest.raises(UserError, match=r"^'ab': the network takes 1 letter, not 2$"):
        encode("ab", "abcde", 1)
