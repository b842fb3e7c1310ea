"""What is watched: which way is better, and metrics that nobody takes."""

import optax
import pytest

from jaxnets import data, train
from jaxnets.data import Batches
from jaxnets.errors import UserError
from jaxnets.metrics import accuracy
from jaxnets.models import MODELS
from jaxnets.train.monitor import sign_of


@pytest.mark.parametrize(
    "name, sign",
    [
        ("loss", 1),
        ("val_loss", 1),
        ("val_mean_absolute_error", 1),
        ("box_loss", 1),
        ("accuracy", -1),
        ("val_recall", -1),
        ("val_top5", -1),
        ("top5_accuracy", -1),
        ("mAP", -1),
        ("val_f1", -1),
    ],
)
def test_the_name_tells_which_way_is_better(name, sign):
    assert sign_of(name) == sign
    assert (sign_of(name, "min"), sign_of(name, "max")) == (1, -1)


@pytest.mark.parametrize("name", ["val_wobble", "seconds", "accuracy_loss"])
def test_a_name_that_does_not_tell_needs_a_mode(name):
    with pytest.raises(UserError, match=f"{name!r} does not say whether less or more is better"):
        train.EarlyStopping(name)
    train.EarlyStopping(name, mode="max")


def test_improvements_either_way():
    history = [{"wobble": 1.0}, {"wobble": 3.0}, {"wobble": 2.0}]
    assert train.improvements(history, "wobble", "max") == [0, 1]
    assert train.improvements(history, "wobble", "min") == [0]


VALIDATED = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 1.0, "val_loss": 2.0}]


def test_a_misspelt_measure_is_told_as_soon_as_it_can_be():
    stop, reduce = train.EarlyStopping("val_lose", mode="min"), train.ReduceOnPlateau("lose", mode="min")
    assert not stop.should_stop(VALIDATED[:1])  # the first validation is still to come
    with pytest.raises(UserError, match="'val_lose' is not measured; these are: epoch, loss, val_loss"):
        stop.should_stop(VALIDATED)
    with pytest.raises(UserError, match=r"'lose' is not measured; these are: epoch, loss$"):
        reduce.on_epoch_end(None, VALIDATED[:1])


@pytest.mark.parametrize(
    "asked, message",
    [
        (
            lambda: {"callbacks": [train.EarlyStopping("val_loss")]},
            "'val_loss' is not measured: give validation=",
        ),
        (
            lambda: {"callbacks": [train.ReduceOnPlateau("val_loss")]},
            "'val_loss' is not measured: give",
        ),
        (
            lambda: {"keep": train.Keep(best="val_accuracy")},
            "'val_accuracy' is not measured: give validation=",
        ),
        (
            lambda: {"keep": train.Keep(best="wobble")},
            "'wobble' is not measured; these are: loss, accuracy, wibb",
        ),
        (
            lambda: {"keep": train.Keep(best="wibble")},
            "'wibble' does not say whether less or more is better",
        ),
        (
            lambda: {"keep": train.Keep(restore_best=True)},
            "restore_best needs a metric: give best='val_loss'",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused_before_the_first_step(asked, message):
    model, descent, iris = MODELS["perceptron"](), optax.sgd(0.1), data.load("iris")
    state = train.make_state(model, descent, (4,))
    step = train.make_train_step(model, descent, metrics={"accuracy": accuracy, "wibble": accuracy})
    with pytest.raises(UserError, match=message):
        train.fit(state, step, Batches(iris.train, 32, seed=0), epochs=1, **asked())
