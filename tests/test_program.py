"""Which layer feeds which is read off the traced program, whatever stands between them."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnets.course.complexity import conv_multiply_adds, dense_multiply_adds
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.summary import summarize


def fed_by(module, shape):
    return {row.name: set(row.fed_by) for row in summarize(module, shape).layers if row.variables}


def test_feeding_layers_are_the_nearest_ones():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            a = nn.Dense(4, name="a")(x)
            b = nn.Dense(4, name="b")(jax.nn.relu(a))
            c = nn.Dense(4, name="c")(a + nn.Dropout(0.5, deterministic=True)(b))
            d = nn.Dense(4, name="d")(x)
            return nn.Dense(4, name="e")(jnp.concatenate([c, d], -1))

    assert fed_by(Net(), (4,)) == {"a": set(), "b": {"a"}, "c": {"a", "b"}, "d": set(), "e": {"c", "d"}}


def test_transformed_code_keeps_branches_apart():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            a, b = nn.Dense(4, name="a")(x), nn.remat(nn.Dense)(4, name="b")(x)
            swapped = jax.jit(lambda u, v: (2 * v, u))(a, b)
            return nn.Dense(4, name="of_b")(swapped[0]), nn.Dense(4, name="of_a")(swapped[1])

    assert fed_by(Net(), (4,)) == {"a": set(), "b": set(), "of_b": {"b"}, "of_a": {"a"}}


def test_first_call_of_a_shared_layer_counts():
    class Net(nn.Module):
        def setup(self):
            self.shared, self.between = nn.Dense(4), nn.Dense(4)

        def __call__(self, x):
            return self.shared(self.between(self.shared(x)))

    assert fed_by(Net(), (4,)) == {"shared": set(), "between": {"shared"}}


def test_counted_multiply_adds_equal_the_formulas():
    rows = {
        row.name: row.multiply_adds for row in summarize(MODELS["lenet5"](), INPUT_SHAPES["lenet5"]).layers
    }
    assert rows == {
        "conv1": conv_multiply_adds(5, 1, 6, 28),
        "conv2": conv_multiply_adds(5, 6, 16, 10),
        "dense1": dense_multiply_adds(400, 120),
        "dense2": dense_multiply_adds(120, 84),
        "head": dense_multiply_adds(84, 10),
    }
