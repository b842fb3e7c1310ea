"""Files of Keras's own networks, weights alone or whole: layers with names beside layers with numbers."""

import h5py
import jax
import keras
import numpy as np
import pytest
from flax import linen
from keras.src.legacy.saving import legacy_h5_format
from keras_pairs import random_model

from jaxnets import nn
from jaxnets.keras_weights import from_keras
from jaxnets.models import MODELS

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]


def keras_xception(width=4):
    """Xception's way of naming: the main path has names, the shortcuts have Keras's numbers."""
    kl = keras.layers
    kl.Conv2D(1, 1)  # so that the numbers do not begin at 0
    x = start = keras.Input((6, 6, width))
    for block in (1, 2):
        shortcut = kl.BatchNormalization()(kl.Conv2D(width, 1, use_bias=False)(x))
        for i in (1, 2):
            x = kl.SeparableConv2D(width, 3, padding="same", use_bias=False, name=f"block{block}_sepconv{i}")(
                x
            )
            x = kl.BatchNormalization(name=f"block{block}_sepconv{i}_bn")(x)
        x = kl.Add()([x, shortcut])
    return keras.Model(start, x)


class MiniXception(linen.Module):
    width: int = 4

    @linen.compact
    def __call__(self, x):
        for block in (1, 2):
            shortcut = nn.Conv(self.width, 1, use_bias=False, name=f"block{block}_shortcut_conv")(x)
            shortcut = nn.BatchNorm(name=f"block{block}_shortcut_bn")(shortcut, False)
            for i in (1, 2):
                name = f"block{block}_sepconv{i}"
                x = nn.SeparableConv(self.width, 3, padding="same", use_bias=False, name=name)(x)
                x = nn.BatchNorm(name=f"{name}_bn")(x, False)
            x = x + shortcut
        return x


@pytest.mark.parametrize("ending", ["live", "model.keras", "model.weights.h5", "model.h5", "official.h5"])
def test_names_and_numbers_mixed_as_in_the_xception_file(ending, tmp_path):
    model, path = random_model(keras_xception), tmp_path / ending
    if ending == "official.h5":
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    elif ending != "live":
        (model.save_weights if "weights" in ending else model.save)(path)
    variables = from_keras(model if ending == "live" else path, MiniXception(), (6, 6, 4))
    shortcuts = [layer for layer in model.layers if layer.name.startswith("batch_normalization")]
    for block, layer in enumerate(shortcuts, start=1):
        np.testing.assert_array_equal(
            variables["params"][f"block{block}_shortcut_bn"]["scale"], layer.get_weights()[0]
        )
    named = model.get_layer("block2_sepconv1_bn").get_weights()[3]
    np.testing.assert_array_equal(variables["batch_stats"]["block2_sepconv1_bn"]["var"], named)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["live", "model.keras", "model.weights.h5", "model.h5", "official.h5"])
@pytest.mark.parametrize("name, keras_name", [("resnet50", "ResNet50"), ("xception", "Xception")])
def test_whole_networks_of_keras_applications(name, keras_name, ending, tmp_path):
    size = 75
    build = getattr(keras.applications, keras_name)
    model = random_model(lambda: build(weights=None, input_shape=(size, size, 3), classifier_activation=None))
    path = tmp_path / ending
    if ending == "official.h5":  # weights alone, as the files that keras.applications downloads
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    elif ending != "live":
        (model.save_weights if "weights" in ending else model.save)(path)
    module = MODELS[name]()
    variables = from_keras(model if ending == "live" else path, module, (size, size, 3))
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    with jax.numpy_rank_promotion("allow"):
        expected = np.asarray(model(x, training=False))
    logits = jax.jit(module.apply)(variables, x)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
