"""What an experiment leaves behind: a folder that the other commands take, or refuse in a sentence."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import application, fashion_cnn, letters, localization, random_boxes, stock
from jaxnets import data, runs
from jaxnets.cli import commands
from jaxnets.data import ArraySource, Dataset
from jaxnets.data.standardize import Moments
from jaxnets.errors import UserError
from jaxnets.runs.predict import Guess, Look


@pytest.fixture(scope="module")
def abcde(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("letters") / "run"
    return workdir, letters.main(epochs=100, workdir=workdir)


def test_letters_leave_the_best_weights_and_their_text(abcde):
    workdir, measured = abcde
    run = runs.load_run(workdir)
    assert (run.features.shape, run.features.classes) == ((4, 5), tuple("abcde"))
    losses = [record["loss"] for record in measured["history"]]
    assert len(run.history) == int(np.argmin(losses)) + 1
    windows = data.ArraySource(np.eye(5, dtype=np.float32)[[[0, 1, 2, 3]]], [4])
    assert run.features.classes[int(run.probabilities(windows.x).argmax())] == "e"
    assert "kernel" in (workdir / "weights.txt").read_text()
    assert len((workdir / "metrics.jsonl").read_text().splitlines()) == 100


def test_the_same_command_says_that_all_is_done_and_gives_the_same(abcde, capsys):
    workdir, measured = abcde
    again = letters.main(epochs=100, workdir=workdir)
    assert f"{workdir}: all its 100 epochs are done" in capsys.readouterr().err
    assert again["history"] == measured["history"]
    assert again["accuracy of the best"] == measured["accuracy of the best"]
    with pytest.raises(
        UserError, match="a run of 100 epochs, which were one program and cannot be continued"
    ):
        letters.main(epochs=110, workdir=workdir)
    with pytest.raises(UserError, match="holds a run with seed 0, not 1"):
        letters.main(epochs=100, seed=1, workdir=workdir)


def test_letters_are_exported_and_neither_predicted_nor_evaluated(abcde, tmp_path):
    workdir, _ = abcde
    commands.export(workdir, format="safetensors", out=tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_size > 47 * 4
    with pytest.raises(UserError, match=r"experiments/letters.py, which makes its own examples"):
        commands.evaluate(workdir)
    with pytest.raises(UserError, match="whose examples are not images: predict with that script"):
        commands.predict(workdir, (tmp_path / "a.png",))


@pytest.mark.slow
def test_stock_leaves_a_run_of_one_output(tmp_path):
    workdir = tmp_path / "run"
    (tmp_path / "prices.csv").write_text("open\n" + "\n".join(str(100 + day % 7) for day in range(400)))
    measured = stock.main(model="stock_rnn", csv=tmp_path / "prices.csv", epochs=1, workdir=workdir)
    run = runs.load_run(workdir)
    assert (
        sum(leaf.size for leaf in jax.tree.leaves(run.variables["params"]))
        == measured["parameters"]
        == 24_761
    )
    assert len((workdir / "weights.txt").read_text()) > 24_761


@pytest.mark.slow
def test_a_run_of_standardized_images_prepares_them_as_its_training_did(monkeypatch, tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    x = (rng.integers(0, 100, (24, 8, 8, 1)) + 150 * y[:, None, None, None]).astype(np.uint8)
    sets = Dataset("grey", ArraySource(x, y, ["dark", "light"]), ArraySource(x[:8], y[:8], ["dark", "light"]))
    monkeypatch.setattr(fashion_cnn.data, "at_hand", lambda name, data_dir: sets)
    monkeypatch.setattr("jaxnets.runs.config.load", lambda name, **_: sets)
    workdir = tmp_path / "run"
    measured = fashion_cnn.main(epochs=2, batch_size=22, workdir=workdir)
    run = runs.load_run(workdir)
    learned = x[:22].astype(np.float64)
    wanted = (x - learned.mean(0)) / (learned.std(0) + 1e-7)
    np.testing.assert_allclose(run.preprocess(x), wanted, rtol=1e-4, atol=1e-5)
    capsys.readouterr()
    commands.evaluate(workdir, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["loss"] == pytest.approx(measured["test_loss"], rel=1e-4)


@pytest.mark.parametrize("std", [[0.0, -1.0], [[1.0], [1.0], [1.0]], "much", [float("nan"), 1.0]])
def test_moments_that_cannot_be_are_called_damaged(abcde, tmp_path, std):
    workdir, _ = abcde
    config = json.loads((workdir / "config.json").read_text())
    config["input"] |= {"prepare": "standardize", "moments": {"mean": 0, "std": std, "epsilon": 0.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="prepare cannot be read"):
        runs.load_run(tmp_path)
    sound = runs.describe_moments(Moments(np.float32([1]), np.float32([2])), 1e-6)
    assert sound["moments"] == {"mean": [1.0], "std": [2.0], "epsilon": 1e-6}


def test_the_folder_of_two_heads_is_refused_by_what_takes_one(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "localization", "dataset": "digits"}))
    with pytest.raises(UserError, match=r"localization.py, whose network only that script can make"):
        commands.evaluate(tmp_path)


@pytest.mark.slow
def test_localization_goes_on_where_it_ended(monkeypatch, tmp_path, capsys):
    digits = data.load("digits").train
    some = ArraySource(digits.x[:40], digits.y[:40], digits.features.classes)
    monkeypatch.setattr(localization.data, "at_hand", lambda name, data_dir: Dataset("few", some, some))
    first = localization.main(epochs=1, times=1, workdir=tmp_path / "run")
    second = localization.main(epochs=2, times=1, workdir=tmp_path / "run")
    assert second["history"][0] == first["history"][0]
    capsys.readouterr()
    localization.main(epochs=2, times=1, workdir=tmp_path / "run")
    assert "all its 2 epochs are done" in capsys.readouterr().err


@pytest.mark.slow
def test_random_boxes_train_both_heads_on_five_batches(tmp_path):
    options = {"dataset": "digits", "size": 71, "batch_size": 2, "steps": 2}
    measured = random_boxes.main(**options, workdir=tmp_path)
    assert measured["step"] == 4
    for record in measured["history"]:
        total = 0.8 * record["class_loss"] + 0.2 * record["box_loss"]
        assert record["loss"] == pytest.approx(total, rel=1e-4)


def test_boxes_are_drawn_anew_in_every_step_and_images_are_in_colour():
    augment = random_boxes.with_boxes(8)
    batch = {"x": jnp.full((3, 4, 4, 1), 7, jnp.uint8), "y": jnp.arange(3), "index": jnp.arange(3)}
    one, two = (augment(jax.random.PRNGKey(0), jnp.int32(step), batch) for step in (0, 1))
    assert one["x"].shape == (3, 8, 8, 3)
    np.testing.assert_allclose(one["x"], 7)
    assert one["boxes"].shape == (3, 4)
    assert 0 <= one["boxes"].min() < one["boxes"].max() <= 1
    assert len(np.unique(np.concatenate([one["boxes"], two["boxes"]]))) == 24


def test_the_application_asks_how_many_and_which(monkeypatch, tmp_path, capsys):
    digits = data.load("digits")
    paths = [tmp_path / "four.jpg", tmp_path / "missing.jpg"]
    application.photograph(digits.test[0]["x"], np.random.default_rng(0), paths[0])

    asked, answers = [], iter(["2", str(paths[0]), str(paths[1])])
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or next(answers))
    monkeypatch.setattr(application, "look", lambda run, file, where, threshold: look(file))
    monkeypatch.setattr(application, "guesses", lambda run, images: [[Guess("4", 1.0)] * 3])

    def look(file):
        if not file.exists():
            raise UserError(f"{file}: there is no such file")
        return Look(file.name, np.zeros((20, 20, 3), np.uint8), np.zeros((28, 28, 1), np.uint8))

    assert application.converse(None, tmp_path) == ["4"]
    assert asked == ["input the number of test pictures:"] + ["the path of test picture:"] * 2
    told = capsys.readouterr()
    assert "[4]" in told.out
    assert "missing.jpg: there is no such file" in told.err
    assert (tmp_path / "asked-1.png").stat().st_size > 1000
