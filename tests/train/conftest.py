"""What the tests of training share."""

import numpy as np
import pytest

from jaxnets.data import ArraySource


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(21, 4)).astype(np.float32)
    return ArraySource(x, (x @ rng.normal(size=(4, 3))).argmax(-1), ("a", "b", "c"))
