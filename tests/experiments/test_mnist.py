"""experiments/mnist.py: what it leaves on the disk, judged by NumPy, and a run in two parts."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from experiments.mnist import DOCUMENTED, main
from jaxnets import data

MEASURED = ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy")


def read_weights(path):
    """name, shape, values, as the document writes them."""
    parts = re.split(r"^(\w+/\w+)\n\((.*)\)\n", path.read_text(), flags=re.MULTILINE)[1:]
    for name, shape, values in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        numbers = np.array(values.replace("[", " ").replace("]", " ").split(), np.float32)
        yield name, numbers.reshape([int(size) for size in shape.split(",") if size])


def test_held_out_part_validation_frequency_and_the_weights_as_text(tmp_path):
    measured = main(dataset="digits", epochs=3, hold_out=0.2, validate_every=2, workdir=tmp_path / "run")
    assert measured["parameters"] == DOCUMENTED["parameters"] == 101_770
    assert measured["dataset"] == "digits"
    assert [record["step"] for record in measured["history"]] == [36, 72, 108]  # 1,150 in batches of 32
    assert ["val_loss" in record for record in measured["history"]] == [False, True, True]
    weights = dict(read_weights(tmp_path / "run" / "weights.txt"))
    assert sum(values.size for values in weights.values()) == 101_770
    held_out = data.load("digits").train
    x, y = held_out.x[1150:].reshape(288, 784) / 255, held_out.y[1150:]
    hidden = np.maximum(x @ weights["dense1/kernel"] + weights["dense1/bias"], 0)
    logits = hidden @ weights["head/kernel"] + weights["head/bias"]
    np.testing.assert_allclose(np.mean(logits.argmax(1) == y), measured["val_accuracy"], atol=1e-6)
    wrong = np.log(np.exp(logits).sum(1)) - logits[np.arange(288), y]
    np.testing.assert_allclose(wrong.mean(), measured["val_loss"], rtol=1e-5)
    with Image.open(tmp_path / "run" / "curves.png") as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 100  # something is drawn


@pytest.mark.slow
def test_a_run_in_two_parts_equals_an_unbroken_one_and_keeps_the_best(few, tmp_path):
    settings = {"monitor": "loss", "batch_size": 16}
    main(**settings, epochs=2, workdir=tmp_path / "parts")
    resumed = main(**settings, epochs=3, workdir=tmp_path / "parts")
    unbroken = main(**settings, epochs=3, workdir=tmp_path / "unbroken")
    one, other = ([[r[k] for k in MEASURED] for r in run["history"]] for run in (resumed, unbroken))
    assert one == other
    one, other = ((tmp_path / name / "weights.txt").read_text() for name in ("parts", "unbroken"))
    assert one == other
    losses = [record["loss"] for record in resumed["history"]]
    assert resumed["best_epoch"] == 1 + int(np.argmin(losses))
    (best,) = (path for path in (tmp_path / "parts" / "best").iterdir() if path.name.isdecimal())
    assert int(best.name) == resumed["best_epoch"] * 3  # steps
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["epochs"] == 3
