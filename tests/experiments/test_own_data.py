"""experiments/own_data.py: what goes into the folder comes out of the cache, and a folder of the user's."""

import numpy as np
import pytest
from PIL import Image

from experiments.own_data import main
from jaxnets.errors import UserError


@pytest.mark.slow
def test_the_digits_go_into_a_folder_and_come_back_bit_for_bit(few, tmp_path):
    measured = main(epochs=1, workdir=tmp_path)
    assert (measured["identical from the cache"], measured["parameters"]) == (1, 101_770)
    assert measured["seconds from the cache"] > 0  # that no image is opened: tests/data/test_cached.py
    images = tmp_path / "images"
    np.testing.assert_array_equal(np.load(images / "train.x.npy"), few.train.x)
    np.testing.assert_array_equal(np.load(images / "test.y.npy"), few.test.y)
    first = (images / "test.txt").read_text().splitlines()[0]
    assert first == f"0.png {few.test.y[0]}"
    assert measured["dataset"] == "digits"
    assert (tmp_path / "curves.png").exists()


def test_a_folder_of_the_users(tmp_path):
    photos = tmp_path / "photos"
    for name in ("train", "test"):
        (photos / name).mkdir(parents=True)
        for label, half in {"left": slice(0, 6), "right": slice(6, 12)}.items():
            pixels = np.zeros((9, 12, 3), np.uint8)  # colour, and not square
            pixels[:, half] = 240
            Image.fromarray(pixels).save(photos / name / f"{label}.jpg")
    (photos / "train.txt").write_text("right.jpg right\nleft.jpg left\n")
    (photos / "test.txt").write_text("right.jpg right\n")  # by itself its only class would be number 0
    measured = main(folder=photos, epochs=10, workdir=tmp_path / "run")
    assert measured["dataset"] == "photos"
    assert measured["val_accuracy"] == 1.0
    assert measured["parameters_here"] == 785 * 128 + 129 * 2  # two classes
    assert np.load(photos / "test.x.npy").shape == (1, 28, 28, 1)


def test_a_folder_without_a_label_file(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match=r"train.txt: there is no such label file"):
        main(folder=tmp_path, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
