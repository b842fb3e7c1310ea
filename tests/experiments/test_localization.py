"""experiments/localization.py: boxes that enclose the ink exactly, and losses of both heads that fall."""

import numpy as np
import pytest
from PIL import Image

from experiments import localization
from jaxnets.data import ArraySource, Dataset, load
from jaxnets.errors import UserError


def test_boxes_enclose_the_ink_to_the_pixel():
    digits = load("digits").test
    scenes = localization.scenes(digits, 2, seed=0)
    assert len(scenes) == 2 * len(digits)
    np.testing.assert_array_equal(scenes.y, np.tile(digits.y, 2))
    boxes = scenes.arrays["boxes"] * localization.CANVAS
    np.testing.assert_allclose(boxes, np.round(boxes), atol=1e-4)
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(1)
    assert (sizes.min(), sizes.max()) == localization.SIZES
    outside = []
    for image, (top, left, bottom, right) in zip(scenes.x, np.round(boxes).astype(int), strict=True):
        rows, columns = (np.flatnonzero(image[..., 0].max(axis)) for axis in (1, 0))
        found = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
        outside.append(np.abs(found - [top, left, bottom, right]).max())
    assert max(outside) <= 1  # scaled down, a faint first row may round to black
    assert np.mean(outside) < 0.05
    assert (boxes[:, :2].min(), boxes[:, 2:].max()) == (0, localization.CANVAS)  # they lie anywhere


@pytest.fixture
def few(monkeypatch):
    """Forty digits, all to be learned by heart and judged by."""
    digits = load("digits").train
    some = ArraySource(digits.x[:40], digits.y[:40], digits.features.classes)
    monkeypatch.setattr(localization.data, "at_hand", lambda name, data_dir: Dataset("few", some, some))


@pytest.mark.slow
def test_both_losses_fall_and_the_overlap_rises(few, tmp_path):
    measured = localization.main(epochs=25, times=1, workdir=tmp_path)
    first, last = measured["history"][0], measured["history"][-1]
    for name in ("class_loss", "box_loss"):
        assert last[name] < 0.8 * first[name]
        assert measured[name] == last[name]
        assert measured[f"first {name}"] == first[name]
    for record in measured["history"]:
        assert record["loss"] == pytest.approx(
            0.8 * record["class_loss"] + 0.2 * record["box_loss"], rel=1e-4
        )
    assert last["iou"] > first["iou"]
    assert 0 < measured["val_iou"] < 1
    assert measured["dataset"] == "few, pasted"
    for name in ("boxes.png", "losses.png"):
        with Image.open(tmp_path / name) as image:
            low, high = image.convert("L").getextrema()
        assert high - low > 100  # something is drawn


def test_pictures_in_colour_are_not_pasted(monkeypatch, tmp_path):
    colour = ArraySource(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4))
    monkeypatch.setattr(localization.data, "at_hand", lambda name, data_dir: Dataset(name, colour, colour))
    with pytest.raises(UserError, match=r"photos is not of grey images to paste: say which .* --boxes"):
        localization.main(dataset="photos", workdir=tmp_path)
