"""Records in a CSV file, and in the runs of other packages, of which a stand-in notes what it is told."""

import csv
import sys
from types import SimpleNamespace

import pytest

from jaxnets import data, models, optim, train
from jaxnets.errors import UserError


def fit(*callbacks, epochs=2, keep=None):
    iris, model, optimizer = data.load("iris"), models.MODELS["perceptron"](), optim.OPTIMIZERS["adam"](0.1)
    step, batches = train.make_train_step(model, optimizer), data.Batches(iris.train, 60, seed=0)
    judge = train.Validation(train.make_eval_step(model), data.Batches(iris.test, 30), every=2)
    state = train.make_state(model, optimizer, (4,))
    return train.fit(
        state, step, batches, epochs=epochs, validation=judge, callbacks=callbacks, keep=keep or train.Keep()
    )[1]


def test_csv_holds_every_record_also_of_a_resumed_run(tmp_path):
    keep, path = train.Keep(tmp_path / "run"), tmp_path / "deep" / "log.csv"
    fit(epochs=1, keep=keep)
    history = fit(train.CSVLogger(str(path)), epochs=3, keep=keep)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{key: float(value) for key, value in row.items() if value} for row in rows] == history
    assert [bool(row["val_loss"]) for row in rows] == ["val_loss" in record for record in history]


@pytest.mark.parametrize("logger, package", [(train.WandB, "wandb"), (train.Trackio, "trackio")])
def test_other_packages_are_told_the_records_by_epoch(logger, package, monkeypatch):
    told = []

    class Opened:
        def __init__(self, **options):
            told.append(("init", options))

        def log(self, record, step):
            told.append((step, record))

        def finish(self):
            told.append("finish")

    monkeypatch.setitem(sys.modules, package, SimpleNamespace(init=Opened))
    history = fit(logger(project="iris", config={"seed": 0}))
    (opened, options), *records, end = told
    assert (opened, options, end) == ("init", {"project": "iris", "config": {"seed": 0}}, "finish")
    expected = [{key: one[key] for key in one.keys() - {"epoch", "step"}} for one in history]
    assert records == list(enumerate(expected, start=1))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"{logger.__name__} needs {package}: .* install .*{package}"):
        logger()
