"""Batches spread over devices: the numbers of one device, and exact continuation."""

import jax
import numpy as np
import optax
import pytest

from jaxnets.data import Batches
from jaxnets.data.device import on_device
from jaxnets.train import Keep, Validation, fit, make_eval_step, make_state, make_train_step
from tests.rounding import assert_close
from tests.several_devices import take_devices
from tests.train.test_fit import BATCH, RATE, same_bits
from tests.train.test_step import BatchNormNet

STEPS = 51


@pytest.mark.parametrize(
    "devices, resident",
    [
        (3, True),
        (8, False),
        *(
            pytest.param(*rest, marks=pytest.mark.slow)
            for rest in [(2, True), (8, True), (2, False), (3, False)]
        ),
    ],
)
@pytest.mark.sampled(2)
def test_several_devices_give_the_numbers_of_one(source, devices, resident, tmp_path):
    """Batches of 8 over 3 devices do not divide evenly, nor does the last one of 5 over any of them."""
    model, descent = BatchNormNet(), optax.sgd(RATE, momentum=0.9)

    def train(mesh=None, epochs=STEPS // 3, workdir=None):
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            on_device(Batches(source, BATCH, seed=3), resident, mesh),
            epochs=epochs,
            validation=Validation(make_eval_step(model), on_device(Batches(source, BATCH), resident, mesh)),
            keep=Keep(workdir),
            mesh=mesh,
        )

    mesh = jax.sharding.Mesh(np.array(take_devices(devices)), ("data",))
    state, history = train()
    spread, records = train(mesh)
    assert len(spread.params["Dense_0"]["kernel"].sharding.device_set) == devices
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    measured = ([[r[n] for n in names] for r in some] for some in (records, history))
    assert_close(*measured, roundings=STEPS * BATCH)
    assert_close(spread, state, roundings=STEPS * BATCH)

    train(mesh, 9, tmp_path)  # and continued on one
    continued, _ = train(None, STEPS // 3, tmp_path)
    assert len(continued.params["Dense_0"]["kernel"].sharding.device_set) == 1
    assert_close(continued, state, roundings=STEPS * BATCH)


def test_on_the_same_devices_a_continued_run_has_the_bits_of_an_unbroken_one(source, tmp_path):
    """The devices' shares are added up in one order."""
    model, descent = BatchNormNet(), optax.sgd(RATE, momentum=0.9)
    mesh = jax.sharding.Mesh(np.array(take_devices(4)), ("data",))

    def train(epochs, workdir=None):
        batches = Batches(source, BATCH, seed=3)
        state = make_state(model, descent, (4,))
        step = make_train_step(model, descent)
        return fit(state, step, batches, epochs=epochs, keep=Keep(workdir), mesh=mesh)[0]

    unbroken = train(5)
    train(2, tmp_path)
    assert same_bits(train(5, tmp_path), unbroken)
