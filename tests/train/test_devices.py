"""Batches spread over devices: the numbers of one device, and exact continuation."""

import jax
import numpy as np
import optax
import pytest

from jaxnets.data import Batches
from jaxnets.data.device import on_device
from jaxnets.train import fit, make_eval_step, make_state, make_train_step
from tests.train.test_fit import BATCH, RATE, same_bits
from tests.train.test_step import BatchNormNet


def close(got, expected):
    """To 1e-5 of the array's largest number; of an array of smaller ones than .1, to 1e-6."""
    scale = max(np.max(np.abs(expected)), 0.1)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * scale)


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
def test_several_devices_give_the_numbers_of_one(source, devices, resident, tmp_path):
    """Batches of 8 over 3 devices do not divide evenly, nor does the last one of 5 over any of them."""
    model, descent = BatchNormNet(), optax.sgd(RATE, momentum=0.9)

    def train(mesh=None, epochs=17, workdir=None):  # 51 steps
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            on_device(Batches(source, BATCH, seed=3), resident, mesh),
            epochs=epochs,
            eval_step=make_eval_step(model),
            validation=on_device(Batches(source, BATCH), resident, mesh),
            workdir=workdir,
            mesh=mesh,
        )

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("data",))
    state, history = train()
    spread, records = train(mesh)
    assert len(spread.params["Dense_0"]["kernel"].sharding.device_set) == devices
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    np.testing.assert_allclose(
        [[r[n] for n in names] for r in records], [[r[n] for n in names] for r in history], rtol=1e-5
    )
    jax.tree.map(close, spread, state)

    train(mesh, 9, tmp_path)  # and continued on one
    continued, _ = train(None, 17, tmp_path)
    assert len(continued.params["Dense_0"]["kernel"].sharding.device_set) == 1
    jax.tree.map(close, continued, state)


def test_on_the_same_devices_a_continued_run_has_the_bits_of_an_unbroken_one(source, tmp_path):
    """The devices' shares are added up in one order."""
    model, descent = BatchNormNet(), optax.sgd(RATE, momentum=0.9)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("data",))

    def train(epochs, workdir=None):
        batches = Batches(source, BATCH, seed=3)
        state = make_state(model, descent, (4,))
        step = make_train_step(model, descent)
        return fit(state, step, batches, epochs=epochs, workdir=workdir, mesh=mesh)[0]

    unbroken = train(5)
    train(2, tmp_path)
    assert same_bits(train(5, tmp_path), unbroken)
