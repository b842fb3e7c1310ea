"""experiments/flowers.py: what stays frozen, what then moves, what is documented; on a small backbone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from flax.traverse_util import flatten_dict
from PIL import Image

from experiments import flowers
from jaxnets import nn, runs
from jaxnets.cli import commands
from jaxnets.data import ArraySource, Dataset
from jaxnets.errors import UserError
from jaxnets.models import INPUT_SHAPES, MODELS, Classifier
from jaxnets.summary import summarize


class Small(linen.Module):
    """Stands for Xception: its features are the mean colours, normalized."""

    @linen.compact
    def __call__(self, x, train=False, features=False):
        x = nn.BatchNorm(name="bn")(nn.Conv(3, 1, name="conv")(x), train)
        x = nn.global_avg_pool(x)
        return x if features else nn.Dense(9, name="predictions")(x)


@pytest.fixture
def small(monkeypatch):
    """Photos in two colours, stored as squares; a backbone that has learned something else."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.integers(0, 60, (40, 16, 16, 3)).astype(np.uint8)
    x[np.arange(40), ..., y] += 150
    size = np.tile(np.int32([[30, 50]]), (40, 1))
    source = ArraySource(x, y, ["red", "green"], size=size)
    asked = []

    def load(name, *, test, **options):
        asked.append((test, options["train"]))
        return Dataset(name, source, source)

    pretrained = Small().init(jax.random.key(7), jnp.zeros((1, 8, 8, 3)))
    monkeypatch.setattr(flowers.data, "load", load)
    monkeypatch.setattr(flowers, "load_pretrained", lambda name, weights: pretrained)
    monkeypatch.setitem(INPUT_SHAPES, "xception_classifier", (8, 8, 3))
    monkeypatch.setitem(MODELS, "xception_classifier", lambda num_classes: Classifier(Small(), num_classes))
    return pretrained, asked


@pytest.mark.slow
def test_the_backbone_is_frozen_first_and_then_moves(small, monkeypatch, tmp_path):
    pretrained, asked = small
    ends = []
    fit = flowers.train.fit

    def keep(*arguments, **options):
        state, history = fit(*arguments, **options)
        ends.append(flatten_dict(jax.device_get(state.variables)))
        return state, history

    monkeypatch.setattr(flowers.train, "fit", keep)
    measured = flowers.main(epochs=2, more_epochs=1, batch_size=8, workdir=tmp_path / "run")
    for (collection, *path), array in flatten_dict(pretrained).items():
        if path[0] == "predictions":
            continue
        place = (collection, "backbone", *path)
        np.testing.assert_array_equal(ends[0][place], array)  # statistics of BN included
        if path[-1] != "bias":  # of a convolution before BN: it has no gradient
            assert np.abs(ends[1][place] - array).max() > 1e-4
    assert asked == [("train[10%:25%]", "train[25%:]"), ("train[:10%]", "train[25%:]")]
    assert [record["epoch"] for record in measured["history"]] == [1, 2, 3]
    assert measured["test_accuracy"] > 0.9  # two colours
    assert measured["best val_accuracy"] == measured["val_accuracy"]
    for name in ("curves", "flowers", "crops-train", "crops-test"):
        with Image.open(tmp_path / "run" / f"{name}.png") as image:
            low, high = image.convert("L").getextrema()
        assert high - low > 100  # something is drawn
    run = runs.load_run(tmp_path / "run")  # of the second stage, for what is not cropped either
    for path, array in flatten_dict(run.variables).items():
        np.testing.assert_array_equal(array, ends[1][path])
    assert run.features.classes == ("red", "green")
    with pytest.raises(UserError, match=r"experiments/flowers.py, which makes its own examples"):
        commands.evaluate(tmp_path / "run")


def test_documented_number_of_parameters():
    summary = summarize(MODELS["xception_classifier"](), INPUT_SHAPES["xception_classifier"])
    assert summary.parameters == flowers.DOCUMENTED["parameters"]


def test_without_the_flowers_it_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="'tf_flowers' is not prepared yet"):
        flowers.main(workdir=tmp_path / "run", data_dir=tmp_path)
    assert not (tmp_path / "run").exists()
