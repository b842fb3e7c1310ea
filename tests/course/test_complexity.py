import pytest

from jaxnets.course import complexity
from jaxnets.errors import UserError
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.summary import summarize


def test_documented_small_network():
    assert complexity.dense_parameters(3, 4) + complexity.dense_parameters(4, 2) == 26
    assert complexity.dense_multiply_adds(3, 4) + complexity.dense_multiply_adds(4, 2) == 20


@pytest.mark.parametrize(
    "n, kernel, stride, padding, expected",
    [
        (5, 3, 1, "same", 5),  # documented
        (7, 3, 3, "same", 3),  # 7/3 = 2.33 rounds up
        (28, 5, 1, "valid", 24),
        (5, 3, 2, "valid", 2),
        (6, 3, 2, "valid", 2),
    ],
)
def test_output_size(n, kernel, stride, padding, expected):
    assert complexity.output_size(n, kernel, stride, padding) == expected


@pytest.mark.parametrize(
    "layers, expected",
    [
        ([], 1),
        ([(3, 1)], 3),
        ([(3, 1), (3, 1)], 5),  # documented: as far as one 5x5
        ([(5, 1)], 5),
        ([(7, 2), (3, 2), (3, 1)], 7 + 2 * 2 + 2 * 4),  # ResNet's beginning
        ([(5, 1), (2, 2), (5, 1), (2, 2)], 16),  # LeNet-5
    ],
)
def test_receptive_field(layers, expected):
    assert complexity.receptive_field(layers) == expected


def test_formulas_give_lenet5_s_parameters_and_multiply_adds():
    first = complexity.output_size(28, 5, padding="same")
    second = complexity.output_size(first // 2, 5)
    dense = [(second // 2 * (second // 2) * 16, 120), (120, 84), (84, 10)]
    parameters = complexity.conv_parameters(5, 1, 6) + complexity.conv_parameters((5, 5), 6, 16)
    parameters += sum(complexity.dense_parameters(*layer) for layer in dense)
    assert parameters == 61_706  # documented
    multiply_adds = complexity.conv_multiply_adds(5, 1, 6, first)
    multiply_adds += complexity.conv_multiply_adds(5, 6, 16, (second, second))
    multiply_adds += sum(complexity.dense_multiply_adds(*layer) for layer in dense)
    counted = summarize(MODELS["lenet5"](), INPUT_SHAPES["lenet5"])
    assert (counted.parameters, counted.multiply_adds) == (parameters, multiply_adds)


@pytest.mark.parametrize("arguments, message", [((3, 5), "does not fit"), ((5, 3, 1, "full"), "unknown")])
def test_impossible_sizes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        complexity.output_size(*arguments)
