"""experiments/pretrained.py: Keras's classes and names from a file of random weights; none without one."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import keras
import numpy as np
import pytest
from flax import linen
from keras.src.applications import imagenet_utils
from PIL import Image

from experiments.pretrained import main
from jaxnets import nn
from jaxnets.data import photos
from jaxnets.models import MODELS
from jaxnets.pretrained import class_index

SCRIPT = Path(__file__).parents[2] / "experiments" / "pretrained.py"


class Small(linen.Module):
    """Stands for ResNet-50: a few features, then its 1,000 classes."""

    num_classes: int = 1000

    @linen.compact
    def __call__(self, x, train=False, features=False):
        x = nn.Conv(8, 7, 4, name="conv")(x)
        return nn.Dense(1000, name="predictions")(nn.global_avg_pool(linen.relu(x)))


def keras_small():
    """The same in Keras."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            layers.Conv2D(8, 7, 4, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1000, activation="softmax", name="predictions"),
        ]
    )


def bilinear(images, size):
    """(N, H, W, C) -> (N, size, size, C), by the formula: half-pixel centres, no antialiasing."""
    for axis in (1, 2):
        length = images.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.minimum(np.floor(place).astype(int), length - 2)
        weight = np.expand_dims(place - low, tuple({0, 1, 2, 3} - {axis}))
        images = np.take(images, low, axis) * (1 - weight) + np.take(images, low + 1, axis) * weight
    return images


def assert_says_what_keras_says(model, tmp_path, monkeypatch):
    """Random weights with probabilities that differ; saved, loaded, applied, decoded."""
    keras.utils.set_random_seed(0)
    model = model()
    x = keras.applications.resnet50.preprocess_input(bilinear(photos().x.astype(np.float64), 224))
    with jax.numpy_rank_promotion("allow"):
        logits = np.log(np.maximum(model.predict(x, verbose=0), 1e-30))
        head = model.get_layer("predictions")
        head.set_weights([head.get_weights()[0] * 3 / np.std(logits), head.get_weights()[1]])
        model.save(tmp_path / "weights.h5")
        index = {str(number): list(entry) for number, entry in enumerate(class_index())}
        monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", json.loads(json.dumps(index)))
        expected = imagenet_utils.decode_predictions(model.predict(x, verbose=0), top=5)
    measured = main(weights=tmp_path / "weights.h5", top=5, workdir=tmp_path / "run")
    for ours, theirs in zip(measured["best"], expected, strict=True):
        assert [entry[:2] for entry in ours] == [entry[:2] for entry in theirs]
        chances = [[entry[2] for entry in one] for one in (ours, theirs)]
        np.testing.assert_allclose(*chances, rtol=1e-4)
        assert chances[0][0] > 2 / 1000  # not the same for all classes
    with Image.open(tmp_path / "run" / "predictions.png") as image:
        assert image.convert("L").getextrema() == (0, 255)
    return measured


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_classes_and_names_are_those_of_keras(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "resnet50", Small)
    measured = assert_says_what_keras_says(keras_small, tmp_path, monkeypatch)
    identity, name, chance = measured["best"][0][0]
    assert f"  {identity} - {name:12s} {chance:.2%}" in capsys.readouterr().out  # as the document prints them


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_classes_and_names_are_those_of_keras_resnet50(tmp_path, monkeypatch):
    def resnet50():
        return keras.applications.ResNet50(weights=None)

    measured = assert_says_what_keras_says(resnet50, tmp_path, monkeypatch)
    assert measured["parameters"] == 25_636_712


def test_without_network_and_file_it_says_what_to_do(tmp_path):
    nowhere = {"PATH": "", "HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "JAX_PLATFORMS": "cpu"}
    root = {"PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--workdir", tmp_path / "run"],
        capture_output=True,
        text=True,
        env=nowhere | root,
    )
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert len(said) == 1
    assert "resnet50_weights_tf_dim_ordering_tf_kernels.h5 cannot be downloaded" in said[0]
    assert said[0].endswith("or give the path of a copy")
    assert not (tmp_path / "run").exists()
