"""experiments/stock.py: documented sizes, errors by NumPy, the made-up prices, and what is no such file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.stock import DOCUMENTED, main, random_walk
from jaxnets.errors import UserError
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.summary import summarize


@pytest.fixture
def prices(tmp_path):
    """A file as the course's, 480 days: rising, with a weekly swing."""
    days = np.arange(480)
    values = 100 + 0.5 * days + 10 * np.sin(days)
    lines = [f"{day},2010-01-01,{value:.4f},0" for day, value in zip(days, values, strict=True)]
    (tmp_path / "prices.csv").write_text("\n".join([",date,open,close", *lines]))
    return tmp_path / "prices.csv", np.round(values, 4)


def test_errors_are_of_the_best_epoch_in_yuan(prices, tmp_path, capsys):
    path, values = prices
    measured = main(model="stock_rnn", csv=path, epochs=3, workdir=tmp_path / "run")
    assert measured["dataset"] == "prices.csv"
    span = np.ptp(values[:-300])
    losses = [record["val_loss"] for record in measured["history"]]
    assert measured["mse"] == pytest.approx(span**2 * min(losses), rel=1e-4)
    assert measured["rmse"] == pytest.approx(measured["mse"] ** 0.5, rel=1e-6)
    assert measured["rmse of the last epoch"] == pytest.approx(span * losses[-1] ** 0.5, rel=1e-4)
    mean = span * measured["history"][-1]["val_mae"]
    assert measured["mae of the last epoch"] == pytest.approx(mean, rel=1e-6)
    assert mean <= measured["rmse of the last epoch"]
    steps = np.diff(values[-241:])  # 240 windows of the last 300 days
    assert measured["rmse of tomorrow = today"] == pytest.approx(np.sqrt(np.mean(steps**2)), rel=1e-4)
    assert measured["mae of tomorrow = today"] == pytest.approx(np.mean(np.abs(steps)), rel=1e-4)
    assert measured["history"][-1]["loss"] < measured["history"][0]["loss"]
    assert "no --csv" not in capsys.readouterr().out
    for name in ("prices.png", "loss.png"):
        with Image.open(tmp_path / "run" / name) as image:
            low, high = image.convert("L").getextrema()
        assert high - low > 100  # something is drawn


@pytest.mark.parametrize("model", DOCUMENTED)
def test_documented_numbers_of_parameters(model):
    assert summarize(MODELS[model](), INPUT_SHAPES[model]).parameters == DOCUMENTED[model]["parameters"]


def test_without_a_file_prices_are_made_up_and_said_to_be(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("experiments.stock.train.fit_compiled", stop)
    with pytest.raises(Stopped) as stopped:
        main(workdir=tmp_path)
    assert capsys.readouterr().out.startswith("no --csv: a random walk of made-up prices")
    assert stopped.value.args == (2066, 240)  # windows as of the course's 2,426 rows


class Stopped(Exception):
    """Raised with what a training would have got."""


def stop(state, step, batches, *, validation, **rest):
    raise Stopped(len(batches.source), len(validation.batches.source))


def test_the_made_up_prices_are_a_random_walk(tmp_path):
    values = np.loadtxt(random_walk(tmp_path / "walk.csv"), skiprows=1)
    steps = np.diff(np.log(values))
    assert len(values) == 2426
    assert np.std(steps) == pytest.approx(0.02, rel=0.05)
    # no step says anything about the next: the correlation is within three deviations of 0
    assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1]) < 3 / np.sqrt(len(steps))
    np.testing.assert_array_equal(values, np.loadtxt(random_walk(tmp_path / "again.csv"), skiprows=1))


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"model": "stock_rmm"}, r"unknown model 'stock_rmm' \(did you mean stock_rnn\?\)"),
        ({"csv": Path("missing.csv")}, "missing.csv: there is no such file"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(tmp_path, asked, message):
    with pytest.raises(UserError, match=message):
        main(**asked, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
