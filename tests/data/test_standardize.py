"""Moments of a training set against Keras's ImageDataGenerator and the document's own lines."""

import jax
import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from jaxnets.data import ArraySource
from jaxnets.data.standardize import fit_moments, rescale, standardize
from tests.rounding import ROUNDING


@pytest.fixture(scope="module")
def source():
    random = np.random.RandomState(0)
    x = (random.rand(600, 4, 5, 3) * [255, 100, 20] + [0, 50, 230]).astype(np.uint8)
    x[:, 0, 0] = 7  # a pixel that is always the same
    return ArraySource(x, np.zeros(600, int))


def assert_standardized(found, expected, std):
    """The mean and the difference, of 255 at most, are rounded, then the deviation and the quotient."""
    assert np.all(np.abs(found - expected) <= ROUNDING * (2 * 255 / std + 4 * np.abs(expected)))


def test_featurewise_standardization_is_keras(source):
    generator = ImageDataGenerator(
        featurewise_center=True, featurewise_std_normalization=True, dtype="float64"
    )
    generator.fit(source.x)
    expected = generator.standardize(source.x[:10].astype(np.float64))
    found = jax.jit(standardize(fit_moments(source)))(source.x[:10])
    assert_standardized(found, expected, generator.std)


def test_standardization_of_every_pixel_is_that_of_f3(source):
    x = source.x.astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-7  # X_train.mean(axis=0), X_train.std(axis=0) + 1e-7
    found = jax.jit(standardize(fit_moments(source, per="pixel"), epsilon=1e-7))(source.x[:10])
    assert_standardized(found, (x[:10] - mean) / std, std)


def test_rescaling(source):
    np.testing.assert_allclose(rescale(1 / 127.5, -1)(source.x), source.x / 127.5 - 1.0, atol=1e-6)
