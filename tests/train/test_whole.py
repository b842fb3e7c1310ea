"""Whole trainings in one scan: the numbers of `fit`, and of Keras's validation_freq and regularizers."""

from functools import partial

import jax
import keras
import numpy as np
import optax
import pytest

from jaxnets import losses, optim
from jaxnets.data import ArraySource, Batches
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import (
    Callback,
    Validation,
    compiled,
    fit,
    fit_compiled,
    make_eval_step,
    make_state,
    make_train_step,
)

MODEL, DESCENT = MODELS["perceptron"](), optax.sgd(3.0)  # fast enough to swing
STEP, JUDGE = make_train_step(MODEL, DESCENT), make_eval_step(MODEL)
EPOCHS = 6


@pytest.fixture(scope="module")
def source():
    """21 examples: in batches of 8, the last holds 5 and 3 that only fill up."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(21, 4)).astype(np.float32)
    return ArraySource(x, rng.integers(0, 3, 21), ("a", "b", "c"))


def run(function, source, epochs=EPOCHS, state=None, every=1, **more):
    return function(
        state or make_state(MODEL, DESCENT, (4,)),
        STEP,
        Batches(source, 8, seed=3),
        epochs=epochs,
        validation=Validation(JUDGE, Batches(source, 8), every),
        **more,
    )


@pytest.fixture(scope="module")
def fitted(source):
    """What fit ends with, its records, and the parameters after every epoch."""
    after = []

    class Watching(Callback):
        def on_epoch_end(self, state, history):
            after.append(jax.tree.map(np.array, state.params))

    state, history = run(fit, source, callbacks=[Watching()])
    return state, history, after


def assert_same(one, other):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), one, other)


def assert_records(history, expected, names=("loss", "accuracy", "val_loss", "val_accuracy")):
    for record, right in zip(history, expected, strict=True):
        assert (record["epoch"], record["step"]) == (right["epoch"], right["step"])
        np.testing.assert_allclose([record[n] for n in names], [right[n] for n in names], rtol=1e-5)


def test_numbers_and_state_are_those_of_fit(source, fitted):
    expected, records, _ = fitted
    state, history = run(fit_compiled, source)
    assert_records(history, records)
    assert_same(state, expected)


def test_it_goes_on_where_a_state_stopped_and_leaves_that_state_alone(source, fitted):
    first, _ = run(fit_compiled, source, epochs=2)
    for _ in range(2):
        state, history = run(fit_compiled, source, state=first)
        assert_records(history, fitted[1][2:])
        assert_same(state, fitted[0])


@pytest.mark.parametrize(
    "measure, which, every, judged",
    [
        ("loss", min, 1, [1, 2, 3, 4, 5, 6]),
        ("val_loss", min, 4, [4, 6]),
        ("accuracy", max, 1, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_it_validates_when_it_shall_and_returns_the_best_epoch(source, fitted, measure, which, every, judged):
    _, records, after = fitted
    best = which((records[epoch - 1] for epoch in judged), key=lambda record: record[measure])["epoch"]
    assert best < EPOCHS  # else this proves nothing
    state, history = run(fit_compiled, source, best=measure, every=every)
    assert int(state.step) == best * 3
    assert_same(state.params, after[best - 1])
    assert_records(history, records, names=("loss", "accuracy"))
    assert [record["epoch"] for record in history if "val_loss" in record] == judged
    assert_records([history[epoch - 1] for epoch in judged], [records[epoch - 1] for epoch in judged])


def test_a_second_call_does_not_compile_again(source):
    run(fit_compiled, source)
    before = compiled._run._cache_size()
    run(fit_compiled, source, state=make_state(MODEL, DESCENT, (4,), seed=1))
    assert compiled._run._cache_size() == before


def keras_history(params, x, y):
    """Iris's documented layer in Keras, from these parameters, the first 40 rows in their own order."""
    with jax.numpy_rank_promotion("allow"):
        dense = keras.layers.Dense(3, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.01))
        network = keras.Sequential([keras.layers.Input((4,)), dense])
        dense.set_weights([params["kernel"], params["bias"]])
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        network.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=[accuracy])
        held_out = {"validation_data": (x[40:], y[40:]), "validation_freq": 20}
        return network.fit(
            x[:40], y[:40], batch_size=20, epochs=40, shuffle=False, verbose=0, **held_out
        ).history


def test_penalty_and_validation_are_those_of_keras():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    y = (x @ rng.normal(size=(4, 3)) + rng.normal(size=(50, 3))).argmax(-1)
    descent, penalty = optim.OPTIMIZERS["sgd"](0.1), partial(losses.l1_l2_penalty, l2=0.01)
    start = make_state(MODEL, descent, (4,))
    expected = keras_history(jax.tree.map(np.array, start.params["head"]), x, y)  # it deletes what it gets
    _, history = fit_compiled(
        start,
        make_train_step(MODEL, descent, penalty=penalty),
        Batches(ArraySource(x[:40], y[:40]), 20),
        epochs=40,
        validation=Validation(
            make_eval_step(MODEL, penalty=penalty), Batches(ArraySource(x[40:], y[40:]), 20), every=20
        ),
    )
    for name, values in expected.items():
        here = [record[name] for record in history if name in record]
        np.testing.assert_allclose(here, values, rtol=1e-5)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"epochs": 0}, "0 epochs: it must be more than the 0 that the state has done"),
        ({"every": 0}, "validation every 0: it must be a whole number, at least 1"),
        (
            {"best": "val_lose"},
            r"unknown metric 'val_lose' \(did you mean val_loss\?\); known: loss, accuracy, val_loss, "
            "val_accuracy",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(source, asked, message):
    with pytest.raises(UserError, match=message):
        run(fit_compiled, source, **asked)


def test_a_loss_that_is_not_finite_is_told_with_its_epoch(source):
    state = make_state(MODEL, DESCENT, (4,))
    state = state.replace(params=jax.tree.map(lambda leaf: leaf + np.nan, state.params))
    with pytest.raises(UserError, match="the training loss is nan in epoch 1: try a smaller learning rate"):
        run(fit_compiled, source, state=state)
