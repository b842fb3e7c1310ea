"""What `fit` and its steps say of things that do not fit each other."""

import jax
import numpy as np
import optax
import pytest
from flax import linen
from flax.errors import FlaxError

from jaxnets import optim
from jaxnets.data import Batches
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import (
    EarlyStopping,
    Validation,
    evaluate,
    fit,
    fit_compiled,
    make_eval_step,
    make_state,
    make_train_step,
)
from tests.train.test_fit import calling

MODEL, OPTIMIZER = MODELS["perceptron"](), optim.adam(0.1)


class Inner(linen.Module):
    """A network as Flax's own examples write it, without `train`."""

    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(x)


def state_of(model=MODEL, optimizer=OPTIMIZER, shape=(4,)):
    return make_state(model, optimizer, shape)


def train(source, state=None, model=MODEL, how=fit, **options):
    step = make_train_step(model, OPTIMIZER)
    return how(state or state_of(model), step, Batches(source, 8, seed=3), **{"epochs": 1, **options})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"epochs": 2.5}, "epochs 2.5: it must be a whole number, at least 1"),
        ({"epochs": "2"}, "epochs '2': it must be a whole number, at least 1"),
        ({"steps_per_epoch": 1.5}, "steps_per_epoch 1.5: it must be a whole number"),
        ({"keep": "runs/mine"}, r"keep is of type str: give train.Keep\('runs/mine'\)"),
        ({"validation": (1, 2)}, "validation is of type tuple: give train.Validation"),
        ({"callbacks": EarlyStopping("loss")}, "callbacks is of type EarlyStopping: give a list of them"),
        ({"callbacks": [EarlyStopping]}, "a callback is the class EarlyStopping: give an object"),
        ({"state": {"params": {}}}, "the state is of type dict: give what make_state returns"),
        ({"model": Inner()}, r"Inner.__call__\(\) got .* add `train: bool = False` to its arguments"),
    ],
)
def test_what_fit_cannot_take_is_one_sentence(source, options, message):
    with pytest.raises(UserError, match=message):
        train(source, **options)


def test_counts_of_any_type_are_counts(source):
    _, history = train(source, epochs=np.int64(2))
    assert [record["epoch"] for record in history] == [1, 2]
    assert len(Batches(source, np.int32(8), seed=np.uint8(1)).plan()["index"]) == 3


@pytest.mark.parametrize("how", [fit, fit_compiled])
@pytest.mark.parametrize(
    "state, error, message",
    [({"optimizer": optax.sgd(0.1)}, AttributeError, "EmptyState"), ({"shape": (5,)}, FlaxError, "shape")],
)
def test_an_error_of_the_step_says_what_it_was_traced_on(source, how, state, error, message):
    with pytest.raises(error, match=message) as caught:
        train(source, state_of(**state), how=how)
    notes = "".join(caught.value.__notes__)  # JAX has some, too
    assert "on a batch of x float32 (8, 4), y int32 (8,). The network, the state" in notes


def test_a_validation_that_does_not_fit_is_noticed_before_the_first_step(source):
    def on_step_end(state, sums):
        raise AssertionError("a step was taken")

    step = make_train_step(MODEL, OPTIMIZER)  # which evaluates nothing
    validation = Validation(step, Batches(source, 8))
    with pytest.raises(AttributeError) as caught:
        train(source, validation=validation, callbacks=[calling(on_step_end=on_step_end)])
    assert "traced the evaluation step on a batch of x float32 (8, 4)" in "".join(caught.value.__notes__)


def test_evaluating_a_state_instead_of_its_variables(source):
    with pytest.raises(UserError, match=r"variables is of type TrainState: give .* state.variables"):
        evaluate(jax.jit(make_eval_step(MODEL)), state_of(), Batches(source, 8))


@pytest.mark.parametrize(
    "model, optimizer, message",
    [
        (MODELS["perceptron"], OPTIMIZER, r"the model is of type partial: give a network, such as"),
        (Inner, OPTIMIZER, r"the model is the class Inner: give a network, such as"),
        (MODEL, "adam", "the optimizer is of type str: give an Optax transformation, such as"),
        (MODEL, optax.sgd, "the optimizer is of type function: give an Optax transformation"),
    ],
)
def test_what_makes_no_state(model, optimizer, message):
    with pytest.raises(UserError, match=message):
        make_state(model, optimizer, (4,))


def test_a_network_without_train_is_still_one(source):
    """Such a network may be trained by a step of one's own."""
    state = make_state(Inner(), OPTIMIZER, (4,))
    assert state.params["Dense_0"]["kernel"].shape == (4, 3)
