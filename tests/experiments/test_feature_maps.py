"""experiments/feature_maps.py: documented averages; maps and pooling beside sums and maxima by NumPy."""

import numpy as np
import pytest
from PIL import Image

from experiments import feature_maps
from jaxnets.data import photos
from tests.rounding import ROUNDING


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """What is measured, and every picture by its title."""
    pictures = {}
    draw = feature_maps.draw

    def keep(shown, path, columns, size):
        pictures[path.stem] = {title: np.asarray(picture) for title, picture in shown.items()}
        draw(shown, path, columns, size)

    monkeypatch.setattr(feature_maps, "draw", keep)
    return feature_maps.main(workdir=tmp_path), pictures


def test_averages_as_documented_and_maps_and_pools_as_by_numpy(drawn, tmp_path):
    measured, pictures = drawn
    for name, value in feature_maps.DOCUMENTED.items():
        assert measured[name] == pytest.approx(value, abs=1e-4)  # the document's float32 sums
    x = photos().x / 255
    means = x[:, 150:220, 130:250].mean((1, 2)).ravel()
    # a sum of positive numbers is off by a rounding of itself for each of them, at most
    found = [measured[name] for name in feature_maps.DOCUMENTED]
    np.testing.assert_allclose(found, means, rtol=70 * 120 * ROUNDING)

    padded = np.pad(x.sum(-1), ((0, 0), (3, 3), (3, 3)))  # filters are the same in all colours
    vertical = sum(padded[:, offset : offset + 427, 3:643] for offset in range(7))
    horizontal = sum(padded[:, 3:430, offset : offset + 640] for offset in range(7))
    for row, name in enumerate(("china", "flower")):
        maps = pictures["maps"]
        far = {"rtol": 3 * 7 * 7 * ROUNDING, "atol": 1e-12}  # as many products are added up
        np.testing.assert_allclose(maps[f"{name}, vertical lines"], vertical[row], **far)
        np.testing.assert_allclose(maps[f"{name}, horizontal lines"], horizontal[row], **far)
        crop = x[row, 150:220, 130:250].reshape(35, 2, 60, 2, 3)
        shrunk = pictures["pooling"]
        np.testing.assert_allclose(shrunk[f"{name}: 2x2 maximum, 35x60"], crop.max((1, 3)), atol=1e-6)
        np.testing.assert_allclose(shrunk[f"{name}: 2x2 average, 35x60"], crop.mean((1, 3)), atol=1e-6)
        np.testing.assert_array_equal(
            pictures["crops"][f"{name}, vertical lines"], maps[f"{name}, vertical lines"][150:220, 130:250]
        )
    assert [picture.sum() for picture in pictures["filters"].values()] == [7, 7]
    for name in pictures:
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.convert("L").getextrema() == (0, 255)
