"""What the tests of data sets share."""

import numpy as np
import pytest

from tests.data.folders import save


@pytest.fixture
def flowers(tmp_path):
    """Ten small colour images in two classes, the pixels of each telling its number."""
    for number in range(10):
        name = f"flowers/{'rose' if number % 2 else 'daisy'}/{number}.png"
        save(tmp_path, name, np.full((6, 5, 3), number, np.uint8))
    return tmp_path / "flowers"
