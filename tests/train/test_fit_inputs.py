"""What fit is given: states that stay, batches of any kind, callbacks, meshes; and what it refuses."""

import os
import signal
from functools import partial

import jax
import numpy as np
import optax
import pytest

from jaxnets.data import Batches
from jaxnets.data.device import on_device
from jaxnets.errors import Interrupted, UserError
from jaxnets.models import MODELS
from jaxnets.train import (
    Keep,
    Validation,
    evaluate,
    fit,
    make_eval_step,
    make_state,
    make_train_step,
    read_metrics,
)
from tests.several_devices import take_devices
from tests.train.test_fit import BATCH, RATE, calling, same_bits

MODEL, DESCENT = MODELS["perceptron"](), optax.sgd(RATE, momentum=0.9)


def begin(seed=0):
    return make_state(MODEL, DESCENT, (4,), seed)


def train(batches, epochs=3, state=None, **more):
    return fit(state or begin(), make_train_step(MODEL, DESCENT), batches, epochs=epochs, **more)


def without_masks(source, epoch):
    """The batches of an epoch as another library gives them: whole ones, and a smaller last one."""
    for batch in Batches(source, BATCH, seed=3).epoch(epoch):
        rows = batch["mask"] > 0
        yield batch["x"][rows], batch["y"][rows]


def test_the_same_state_can_be_given_twice(source):
    state, batches = begin(), Batches(source, BATCH, seed=3)
    before = jax.tree.map(np.array, state)
    first, _ = train(batches, state=state)
    again, _ = train(batches, state=state)
    assert same_bits(first, again)
    assert same_bits(state, before)


@pytest.mark.parametrize("devices", [1, 4])
def test_batches_of_another_library_train_as_our_own(source, devices):
    mesh = jax.sharding.Mesh(np.array(take_devices(devices)), ("data",)) if devices > 1 else None
    validation = Validation(make_eval_step(MODEL), Batches(source, BATCH))
    expected, records = train(Batches(source, BATCH, seed=3), mesh=mesh, validation=validation)
    theirs = Validation(make_eval_step(MODEL), lambda epoch: without_masks(source, epoch))
    state, history = train(partial(without_masks, source), mesh=mesh, validation=theirs, steps_per_epoch=3)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state, expected)
    for name in ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy"):
        assert [r[name] for r in history] == pytest.approx([r[name] for r in records], rel=1e-5)


def test_a_list_of_batches_is_enough(source):
    batches = list(without_masks(source, 0))
    state, history = train(batches)
    assert [record["step"] for record in history] == [3, 6, 9]
    found = evaluate(jax.jit(make_eval_step(MODEL)), state.variables, batches)
    assert found == pytest.approx(
        evaluate(jax.jit(make_eval_step(MODEL)), state.variables, Batches(source, 32)), rel=1e-5
    )


def test_a_batch_without_a_mask_counts_whole(source):
    x, y = source.x[:5], source.y[:5]
    _, sums = jax.jit(make_train_step(MODEL, DESCENT))(begin(), {"x": x, "y": y})
    assert float(sums["count"]) == 5
    assert float(jax.jit(make_eval_step(MODEL))(begin().variables, {"x": x, "y": y})["count"]) == 5


def stopping(step, signals=signal.SIGINT):
    """A callback that sends a signal to this process after a step."""

    def on_step_end(state, sums):
        if int(state.step) == step:
            os.kill(os.getpid(), signals)

    return calling(on_step_end=on_step_end)


def test_ctrl_c_without_a_folder_raises_with_what_was_reached(source):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(
        Interrupted, match="stopped after step 5; the exception holds the state reached"
    ) as stopped:
        train(Batches(source, BATCH, seed=3), steps_per_call=1, callbacks=[stopping(5)])
    assert signal.getsignal(signal.SIGINT) is before
    assert int(stopped.value.state.step) == 5
    assert [record["epoch"] for record in stopped.value.history] == [1]
    with pytest.raises(Interrupted):  # at the end of an epoch, from where it goes on
        train(Batches(source, BATCH, seed=3), steps_per_call=1, callbacks=[stopping(6)])
    assert stopped.value.exit_code == 130


def test_what_cannot_be_resumed_within_an_epoch_goes_on_at_its_start(source, tmp_path):
    stream, keep = partial(without_masks, source), Keep(tmp_path)
    unbroken, _ = train(stream, steps_per_epoch=3)
    with pytest.raises(
        Interrupted,
        match="holds the epochs before, and epoch 2 will start anew: such batches cannot be resumed",
    ):
        train(stream, steps_per_epoch=3, keep=keep, steps_per_call=1, callbacks=[stopping(5)])
    state, history = train(stream, steps_per_epoch=3, keep=keep, steps_per_call=1)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state, unbroken)
    assert [record["step"] for record in history] == [3, 6, 9]
    assert read_metrics(tmp_path / "metrics.jsonl") == history


def test_a_folder_may_be_a_string(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, history = train(Batches(source, BATCH, seed=3), keep=Keep("run"))
    assert read_metrics(tmp_path / "run" / "metrics.jsonl") == history


@pytest.mark.parametrize(
    "callback, message",
    [
        (
            {"on_step_end": lambda state, _: state},
            "Calling.on_step_end returned TrainState: only on_epoch_end may",
        ),
        (
            {"on_epoch_begin": lambda *_: False},
            "Calling.on_epoch_begin returned bool: only on_epoch_end may return",
        ),
        (
            {"on_epoch_end": lambda *_: 7},
            "Calling.on_epoch_end returned int: only on_epoch_end may return something",
        ),
        (
            {"on_epoch_end": lambda state, _: state.replace(params={})},
            "Calling.on_epoch_end returned a state of other shapes or dtypes than the one it was given",
        ),
    ],
)
def test_what_a_callback_cannot_mean_is_refused(source, callback, message):
    with pytest.raises(UserError, match=message):
        train(Batches(source, BATCH, seed=3), callbacks=[calling(**callback)])


def test_what_a_callback_records_is_in_the_records(source):
    _, history = train(
        Batches(source, BATCH, seed=3), callbacks=[calling(record=lambda state: {"norm": float(state.step)})]
    )
    assert [record["norm"] for record in history] == [3, 6, 9]


def test_batches_that_lie_elsewhere_than_the_training_runs_are_refused(source):
    mesh = jax.sharding.Mesh(np.array(take_devices(4)), ("data",))
    with pytest.raises(
        UserError, match="these batches go to one device, and the training runs on a mesh of 4"
    ):
        train(on_device(Batches(source, BATCH, seed=3)), mesh=mesh)
    with pytest.raises(
        UserError, match="these batches go to a mesh of 4, and the training runs on one device"
    ):
        train(on_device(Batches(source, BATCH, seed=3), mesh=mesh))


@pytest.mark.parametrize(
    "asked, message",
    [
        (
            lambda source: {"batches": []},
            "there is nothing to learn from: the batches are empty",
        ),
        (lambda source: {"batches": partial(without_masks, source)}, "is unknown: give steps_per_epoch"),
        (lambda source: {"batches": iter([])}, "can be read only once"),
        (
            lambda source: {"batches": Batches(source, 8), "steps_per_epoch": 0},
            "steps_per_epoch 0: it must be",
        ),
        (
            lambda source: {"batches": Batches(source, 8), "steps_per_call": -1},
            "steps_per_call -1: it must be",
        ),
        (
            lambda source: {
                "batches": Batches(source, BATCH),
                "validation": Validation(make_eval_step(MODEL), []),
                "keep": Keep(best="val_loss"),
            },
            "there is nothing to evaluate on: the batches are empty",
        ),
    ],
)
def test_batches_that_cannot_be_used_are_one_sentence(source, asked, message):
    with pytest.raises(UserError, match=message):
        train(**asked(source))
