"""Letters as chapter 6 lists them, example by example."""

import numpy as np
import pytest

from jaxnets.data.letters import letters
from jaxnets.errors import UserError

ONE_HOT = dict(zip("abcde", np.eye(5).tolist(), strict=True))


def test_one_letter_to_the_next_d2():
    source = letters("abcde")
    assert source.x.tolist() == [[ONE_HOT[letter]] for letter in "abcde"]
    assert [source.features.classes[label] for label in source.y] == list("bcdea")
    assert source.features.shape == (1, 5)


def test_four_letters_to_the_next_d3():
    source = letters("abcde", 4)
    expected = ["abcd", "bcde", "cdea", "deab", "eabc"]
    assert source.x.tolist() == [[ONE_HOT[letter] for letter in word] for word in expected]
    assert [source.features.classes[label] for label in source.y] == list("eabcd")


def test_numbers_for_an_embedding_d5():
    # x_train.append(ids[i - 4:i]); y_train.append(ids[i]) for i in range(4, 26)
    source = letters("abcdefghijklmnopqrstuvwxyz", 4, one_hot=False, cyclic=False)
    assert source.x.tolist() == [list(range(i - 4, i)) for i in range(4, 26)]
    assert source.y.tolist() == list(range(4, 26))
    assert source.x.dtype == np.int32
    assert source.features.dtype == "int32"


def test_an_alphabet_decides_the_numbers():
    source = letters("aab", alphabet="ba", one_hot=False, cyclic=False)
    assert source.x.tolist() == [[1], [1]]
    assert source.y.tolist() == [1, 0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"text": "abx", "alphabet": "ab"}, "the letter 'x' of the text is not in the alphabet 'ab'"),
        ({"text": "ab", "alphabet": "aba"}, "has a letter twice"),
        ({"text": "abcd", "window": 4, "cyclic": False}, "a text of 4 letters has no 4 in a row"),
        ({"text": ""}, "a text of 0 letters"),
        ({"text": "ab", "window": 0}, "no 0 in a row"),
    ],
)
def test_wrong_texts(arguments, message):
    with pytest.raises(UserError, match=message):
        letters(**arguments)
