"""experiments/fashion_cnn.py: what is trained on, and how pixels become inputs, by NumPy."""

import numpy as np
import pytest
from PIL import Image

from experiments import fashion_cnn
from jaxnets import data, models
from jaxnets.data import ArraySource, Dataset
from jaxnets.models import INPUT_SHAPES
from jaxnets.summary import summarize


@pytest.fixture
def grey(monkeypatch):
    """24 images of 8x8, two classes, light and dark; the first column is black in the training ones."""
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    x = (rng.integers(0, 100, (24, 8, 8, 1)) + 150 * y[:, None, None, None]).astype(np.uint8)
    x[:22, :, 0] = 0
    sets = Dataset("grey", ArraySource(x, y, ["dark", "light"]), ArraySource(x[:8], y[:8], ["dark", "light"]))
    monkeypatch.setattr(fashion_cnn.data, "at_hand", lambda name, data_dir: sets)
    return x


@pytest.mark.slow
def test_every_pixel_is_standardized_by_the_images_that_train(grey, monkeypatch, tmp_path):
    prepared = []
    fit = fashion_cnn.train.fit

    def keep(state, step, batches, **rest):
        prepared.append(len(batches.source))
        return fit(state, step, batches, **rest)

    def make_step(network, optimizer, preprocess):
        prepared.append(preprocess(grey))
        return make(network, optimizer, preprocess=preprocess)

    make = fashion_cnn.train.make_train_step
    monkeypatch.setattr(fashion_cnn.train, "fit", keep)
    monkeypatch.setattr(fashion_cnn.train, "make_train_step", make_step)
    measured = fashion_cnn.main(epochs=3, batch_size=22, workdir=tmp_path / "run")

    inputs, size = prepared
    assert size == 22  # the last twelfth validates
    learned = grey[:22].astype(np.float64)
    std = learned.std(0)
    std[:, 0] = 255
    np.testing.assert_allclose(inputs, (grey - learned.mean(0)) / (std + 1e-7), rtol=1e-4, atol=1e-5)
    assert measured["dataset"] == "grey"
    assert measured["epoch"] == 3
    assert measured["history"][-1]["loss"] < measured["history"][0]["loss"]
    assert {"val_loss", "val_accuracy", "test_loss", "test_accuracy"} <= measured.keys()
    for name in ("curves.png", "predictions.png"):
        with Image.open(tmp_path / "run" / name) as image:
            low, high = image.convert("L").getextrema()
        assert high - low > 100  # something is drawn


def test_documented_split_of_fashion_mnist():
    source = ArraySource(np.zeros((60_000, 1), np.float32), np.zeros(60_000, np.int32))
    learned, validation = data.split(source, 1 / 12)
    assert (len(learned), len(validation)) == (55_000, 5_000)
    # 7x7x64 + 64, 3x3 convolutions, 3x3x256 -> 128 -> 64 -> 10
    convolutions = sum(9 * a * b + b for a, b in ((64, 128), (128, 128), (128, 256), (256, 256)))
    dense = sum(a * b + b for a, b in ((9 * 256, 128), (128, 64), (64, 10)))
    network = models.MODELS["fashion_cnn"]()
    assert summarize(network, INPUT_SHAPES["fashion_cnn"]).parameters == 49 * 64 + 64 + convolutions + dense
