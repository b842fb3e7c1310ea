"""Few examples for experiments whose data set takes longer than a test may."""

import numpy as np
import pytest

from jaxnets import data


@pytest.fixture
def few(monkeypatch):
    """Makes `data.at_hand` give 48 digits to learn from and 24 held-out ones; returns them."""
    digits = data.load("digits")
    train = data.ArraySource(**digits.train[np.arange(48)], classes=digits.features.classes)
    test = data.ArraySource(**digits.test[np.arange(24)], classes=digits.features.classes)
    dataset = data.Dataset("digits", train, test)
    monkeypatch.setattr("jaxnets.data.at_hand", lambda *_, **__: dataset)
    return dataset
