"""Sizes that make no sense are refused in a sentence by every layer, before XLA sees them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.errors import UserError

ROWS, SEQUENCES, IMAGES = jnp.ones((2, 8)), jnp.ones((2, 6, 8)), jnp.ones((2, 9, 9, 4))
NONSENSE = [0, -1, 2.5, "3", None, np.float32(3)]
COUNTS = {
    "features": [
        (nn.Dense, ROWS),
        (lambda features: nn.Embedding(5, features), ROWS),
        (lambda features: nn.Conv(features, 3), IMAGES),
        (lambda features: nn.ConvTranspose(features, 3), IMAGES),
        (lambda features: nn.SeparableConv(features, 3), IMAGES),
    ],
    "vocabulary": [(lambda vocabulary: nn.Embedding(vocabulary, 4), ROWS)],
    "units": [(nn.SimpleRNN, SEQUENCES), (nn.LSTM, SEQUENCES), (nn.GRU, SEQUENCES)],
    "groups": [(lambda groups: nn.Conv(4, 3, groups=groups), IMAGES)],
    "multiplier": [
        (lambda multiplier: nn.DepthwiseConv(3, multiplier=multiplier), IMAGES),
        (lambda multiplier: nn.SeparableConv(2, 3, multiplier=multiplier), IMAGES),
    ],
}
WINDOWED = [
    lambda **given: nn.Conv(2, **given),
    lambda **given: nn.ConvTranspose(2, **given),
    lambda **given: nn.SeparableConv(2, **given),
    nn.DepthwiseConv,
]


@pytest.mark.parametrize(
    "name, make, x", [(name, make, x) for name, layers in COUNTS.items() for make, x in layers]
)
def test_numbers_of_features(name, make, x):
    for number in NONSENSE:
        with pytest.raises(UserError, match=rf"^{name} .*: it must be a whole number, at least 1"):
            make(number).init(jax.random.key(0), x)
    make(np.int64(2)).init(jax.random.key(0), x)


@pytest.mark.parametrize("make", WINDOWED)
@pytest.mark.parametrize("name", ["kernel_size", "strides", "dilation"])
def test_sizes_of_windows(make, name):
    for number in [*NONSENSE, (2, 0), (1, 2.5), [-1, 1]]:
        with pytest.raises(UserError, match=rf"^{name} .*: give an int, at least 1, or one for each axis"):
            make(**{"kernel_size": 3} | {name: number}).init(jax.random.key(0), IMAGES)
    for numbers in ((1, np.int64(2)), (2, 1)):
        make(**{"kernel_size": 1} | {name: numbers}).init(jax.random.key(0), IMAGES)


@pytest.mark.parametrize("pool", [nn.max_pool, nn.avg_pool])
def test_windows_of_pooling(pool):
    for number in NONSENSE:
        with pytest.raises(UserError, match=r"^window .*: give an int, at least 1, or one for each axis"):
            pool(IMAGES, number)
    for number in (0, (2, 0), 2.5):
        with pytest.raises(UserError, match=r"^strides .*: give an int, at least 1, or one for each axis"):
            pool(IMAGES, 2, number)


def test_a_number_is_no_input():
    with pytest.raises(UserError, match="a single number has no features: give at least one axis"):
        nn.Dense(3).init(jax.random.key(0), jnp.float32(1))
