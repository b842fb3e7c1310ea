"""Letters as chapter 6 lists them, example by example."""

import numpy as np
import pytest

from jaxnets.course.letters import encode, letters
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
        ({"text": "abcd", "window": 4, "cyclic": False}, "a text of 4 letters has no window of 4"),
        ({"text": ""}, "a text of 0 letters"),
        ({"text": "ab", "window": 0}, "no window of 0"),
    ],
)
def test_wrong_texts(arguments, message):
    with pytest.raises(UserError, match=message):
        letters(**arguments)


def test_a_text_is_encoded_as_the_examples_are():
    assert encode("deab", 4, alphabet="abcde", one_hot=False).tolist() == [3, 4, 0, 1]
    np.testing.assert_array_equal(encode("cdea", 4, alphabet="abcde"), letters("abcde", 4).x[2])


@pytest.mark.parametrize(
    "text, window, message",
    [
        ("abcf", 4, "'abcf': the letter 'f' is not one of abcde"),
        ("ABCD", 4, "'ABCD': the letter 'A' is not one of abcde"),
        ("a b", 4, "'a b': the letter ' ' is not one of abcde"),
        ("abc", 4, "'abc': the network takes 4 letters, not 3"),
        ("", 4, "'': the network takes 4 letters, not 0"),
        ("ab", 1, "'ab': the network takes 1 letter, not 2"),
    ],
)
def test_what_is_no_such_text_is_one_sentence(text, window, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        encode(text, window, alphabet="abcde")
