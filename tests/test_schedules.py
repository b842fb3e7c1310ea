import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import schedules
from jaxnets.errors import UserError

theirs = keras.optimizers.schedules


@pytest.mark.parametrize(
    "ours, keras_schedule",
    [
        (schedules.exponential_decay(0.2, 0.99), theirs.ExponentialDecay(0.2, 1, 0.99)),
        (schedules.exponential_decay(0.2, 0.5, 7), theirs.ExponentialDecay(0.2, 7, 0.5)),
        (
            schedules.exponential_decay(0.2, 0.5, 7, staircase=True),
            theirs.ExponentialDecay(0.2, 7, 0.5, staircase=True),
        ),
        (schedules.time_decay(0.2, 0.01), theirs.InverseTimeDecay(0.2, 1, 0.01)),
        (
            schedules.piecewise_constant([10, 20], [1.0, 0.5, 0.1]),
            theirs.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]),
        ),
        (schedules.warmup_cosine(0.3, 30), theirs.CosineDecay(0.3, 30)),
        (
            schedules.warmup_cosine(0.3, 30, warmup_steps=8, start=0.01, final_fraction=0.1),
            theirs.CosineDecay(0.01, 30, alpha=0.1, warmup_target=0.3, warmup_steps=8),
        ),
    ],
    ids=["exponential", "every 7", "staircase", "time", "piecewise", "cosine", "warmup cosine"],
)
def test_schedules_equal_keras(ours, keras_schedule):
    steps = [0, 1, 6, 7, 8, 10, 11, 20, 21, 29, 38, 39, 1000]
    traced = jax.jit(jax.vmap(ours))(jnp.array(steps))
    np.testing.assert_allclose(traced, [keras_schedule(s) for s in steps], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("boundaries, values", [([10], [1.0]), ([20, 10], [1.0, 0.5, 0.1])])
def test_piecewise_constant_says_what_is_wrong(boundaries, values):
    with pytest.raises(UserError, match="boundaries must rise"):
        schedules.piecewise_constant(boundaries, values)
