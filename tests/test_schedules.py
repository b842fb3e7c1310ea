import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import schedules
from jaxnets.errors import UserError
from jaxnets.schedules import rates

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
        (schedules.time_decay(0.2, 0.5, 7), theirs.InverseTimeDecay(0.2, 7, 0.5)),
        (schedules.time_decay(0.2, 0.5, 7, True), theirs.InverseTimeDecay(0.2, 7, 0.5, staircase=True)),
        (schedules.polynomial(0.2, 30), theirs.PolynomialDecay(0.2, 30)),
        (schedules.polynomial(0.2, 30, 0.01, 2.5), theirs.PolynomialDecay(0.2, 30, 0.01, 2.5)),
        (schedules.polynomial(0.2, 7, 0.01, cycle=True), theirs.PolynomialDecay(0.2, 7, 0.01, cycle=True)),
        (schedules.cosine_restarts(0.2, 7), theirs.CosineDecayRestarts(0.2, 7)),
        (
            schedules.cosine_restarts(0.2, 6, 1, 0.8, 0.1),
            theirs.CosineDecayRestarts(0.2, 6, t_mul=1.0, m_mul=0.8, alpha=0.1),
        ),
        (
            schedules.cosine_restarts(0.2, 6, 1.5, 0.5),
            theirs.CosineDecayRestarts(0.2, 6, t_mul=1.5, m_mul=0.5),
        ),
    ],
    ids=[
        "exponential",
        "every 7",
        "staircase",
        "time",
        "piecewise",
        "cosine",
        "warmup cosine",
        "time every 7",
        "time staircase",
        "linear",
        "polynomial",
        "polynomial cycle",
        "restarts",
        "restarts of one length",
        "restarts 1.5 times as long",
    ],
)
@pytest.mark.sampled(3)
def test_schedules_equal_keras(ours, keras_schedule):
    steps = [0, 1, 6, 7, 8, 10, 11, 20, 21, 29, 38, 39, 1000]
    traced = jax.jit(jax.vmap(ours))(jnp.array(steps))
    np.testing.assert_allclose(traced, [keras_schedule(s) for s in steps], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("boundaries, values", [([10], [1.0]), ([20, 10], [1.0, 0.5, 0.1])])
def test_piecewise_constant_says_what_is_wrong(boundaries, values):
    with pytest.raises(UserError, match="boundaries must rise"):
        schedules.piecewise_constant(boundaries, values)


def test_cosine_restarts_begin_anew_at_every_restart():
    """The logarithm of a power may be rounded down: that would be the end of a cosine, not its start."""
    for factor in (2.0, 3.0):
        rate, start, length = schedules.cosine_restarts(0.1, 10, factor), 0, 10
        for _ in range(8):
            np.testing.assert_allclose(rate(start), 0.1, rtol=1e-3)
            start, length = start + length, int(length * factor)


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.polynomial(0.1, 0),
        lambda: schedules.cosine_restarts(0.1, 10, 0.5),
        lambda: schedules.time_decay(0.1, 0.1, -1),
    ],
)
def test_decays_over_no_steps_are_refused(make):
    with pytest.raises(UserError, match="must be"):
        make()


def test_every_schedule_is_in_the_table():
    named = {name for name, item in vars(rates).items() if getattr(item, "__module__", "") == rates.__name__}
    assert set(schedules.SCHEDULES) == {name for name in named if name[0] != "_"}
