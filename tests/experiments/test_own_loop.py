"""experiments/own_loop.py: what it writes out is what `fit` does."""

import pytest

from experiments.own_loop import main
from jaxnets import data, models, optim, train


@pytest.mark.slow
def test_the_numbers_are_those_of_fit():
    digits, model, descent = data.load("digits"), models.MODELS["lenet5"](), optim.OPTIMIZERS["adam"](1e-3)
    _, expected = train.fit(
        train.make_state(model, descent, digits.features.shape),
        train.make_train_step(model, descent),
        data.Batches(digits.train, 32, 0),
        epochs=1,
        validation=train.Validation(train.make_eval_step(model), data.Batches(digits.test, 256)),
    )
    (record,) = main(epochs=1)
    assert record["loss"] == pytest.approx(expected[0]["loss"], rel=1e-3)
    for name in ("accuracy", "val_accuracy"):  # a rounding can tip the scales for a few of 359
        assert record[name] == pytest.approx(expected[0][name], abs=0.01)
