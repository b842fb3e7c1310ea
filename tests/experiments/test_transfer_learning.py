"""experiments/transfer_learning.py: which images are had, what is frozen, and how the seeds are averaged."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from PIL import Image

from experiments import transfer_learning
from jaxnets.data import ArraySource, load
from jaxnets.errors import UserError


def test_classes_are_numbered_anew_and_few_of_each_are_drawn():
    digits = load("digits").train
    new = transfer_learning.of_classes(digits, 5, 10)
    assert new.features.classes == ("5", "6", "7", "8", "9")
    rows = np.flatnonzero(digits.y >= 5)
    np.testing.assert_array_equal(new.y, digits.y[rows] - 5)
    np.testing.assert_array_equal(new.x, digits.x[rows])
    few = transfer_learning.few_of(new, 3, seed=0)
    np.testing.assert_array_equal(few.y, np.repeat(np.arange(5), 3))
    places = [np.flatnonzero((new.x == image).all((1, 2, 3))) for image in few.x]
    assert len(np.unique(np.concatenate(places))) >= 15  # no image twice
    for label, place in zip(few.y, places, strict=True):
        assert label in new.y[place]
    with pytest.raises(UserError, match="--per-class 999: it must be 1 to 1"):
        transfer_learning.few_of(new, 999, seed=0)
    assert not np.array_equal(few.x, transfer_learning.few_of(new, 3, seed=1).x)


@pytest.fixture
def states(monkeypatch):
    """The variables at the start and at the end of every training, flat."""
    seen = []
    fit = transfer_learning.train.fit_compiled

    def keep(state, *arguments, **options):
        end, history = fit(state, *arguments, **options)
        seen.append([flatten_dict(jax.device_get(one.variables)) for one in (state, end)])
        return end, history

    monkeypatch.setattr(transfer_learning.train, "fit_compiled", keep)
    return seen


@pytest.mark.slow
def test_the_backbone_is_taken_over_frozen_and_thawed(states, tmp_path, monkeypatch):
    digits = load("digits")
    small = [
        ArraySource(part.x[:100], part.y[:100], part.features.classes) for part in (digits.train, digits.test)
    ]
    few = type(digits)("few digits", *small)
    monkeypatch.setattr(transfer_learning.data, "at_hand", lambda name, data_dir: few)
    measured = transfer_learning.main(
        model="cnn8", per_class=2, epochs=1, few_epochs=3, seeds=2, workdir=tmp_path
    )
    assert len(states) == 8  # backbone, scratch, frozen, thawed, twice
    place = ("params", "backbone", "conv1", "kernel")
    for backbone, scratch, frozen, thawed in (states[:4], states[4:]):
        np.testing.assert_array_equal(frozen[0][place], backbone[1][place])
        np.testing.assert_array_equal(frozen[1][place], backbone[1][place])
        assert np.abs(scratch[0][place] - backbone[1][place]).max() > 1e-3
        for path, array in frozen[1].items():
            np.testing.assert_array_equal(thawed[0][path], array)
        assert np.abs(thawed[1][place] - thawed[0][place]).max() > 1e-5
    for name in ("from scratch", "backbone frozen", "then thawed"):
        each = [measured[f"accuracy {name}, seed {seed}"] for seed in (0, 1)]
        assert measured[f"accuracy {name}"] == pytest.approx(np.mean(each))
    assert measured["dataset"] == "few digits"
    with Image.open(tmp_path / "accuracy.png") as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 100  # something is drawn
