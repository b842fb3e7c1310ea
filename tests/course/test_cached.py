"""B4: arrays from images and a label file, kept as .npy and made anew when anything has changed."""

import os

import numpy as np
import pytest
from PIL import Image

from jaxnets.course.cached import labelled_images
from jaxnets.data.formats.readers import Problems
from jaxnets.errors import UserError

PIXELS = np.random.RandomState(0).randint(0, 256, (3, 28, 28), np.uint8)


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "digits.txt").write_text("2.png 0\n0.png 1\n1.png 1\n")
    return folder, tmp_path / "digits.txt"


def forget_opening(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("an image was opened")

    monkeypatch.setattr("jaxnets.data.formats.form.open_image", refuse)


def test_arrays_in_the_order_of_the_lines_and_the_same_from_the_cache(digits, monkeypatch):
    first = labelled_images(*digits)
    np.testing.assert_array_equal(first.x[..., 0], PIXELS[[2, 0, 1]])
    assert first.y.tolist() == [0, 1, 1]
    forget_opening(monkeypatch)
    again = labelled_images(*digits)
    np.testing.assert_array_equal(again.x, first.x, strict=True)
    np.testing.assert_array_equal(again.y, first.y, strict=True)
    assert again.features == first.features
    np.testing.assert_array_equal(np.load(digits[1].with_suffix(".x.npy")), first.x)


def change_image(folder, labels):
    Image.fromarray(255 - PIXELS[0]).save(folder / "0.png")


def change_time(folder, labels):
    os.utime(folder / "0.png", ns=(1, 1))


def change_labels(folder, labels):
    labels.write_text("0.png 0\n1.png 1\n")


def add_image(folder, labels):
    Image.fromarray(PIXELS[0]).save(folder / "3.png")


def cut_the_cache(folder, labels):
    file = labels.with_suffix(".x.npy")
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("change", [change_image, change_time, change_labels, add_image, cut_the_cache])
def test_made_anew_when_something_has_changed(digits, monkeypatch, change):
    labelled_images(*digits)
    change(*digits)
    fresh = labelled_images(*digits)
    order = [line.split()[0][0] for line in digits[1].read_text().splitlines()]
    expected = [np.asarray(Image.open(digits[0] / f"{name}.png")) for name in order]
    np.testing.assert_array_equal(fresh.x[..., 0], expected)
    forget_opening(monkeypatch)
    labelled_images(*digits)
    with pytest.raises(AssertionError, match="an image was opened"):
        labelled_images(*digits, size=(14, 14))


def test_colour_becomes_grey_as_pillow_does_it(digits):
    colour = np.random.RandomState(1).randint(0, 256, (28, 28, 3), np.uint8)
    Image.fromarray(colour).save(digits[0] / "1.png")
    source = labelled_images(*digits)
    # ITU-R 601-2, as Pillow documents convert("L")
    grey = colour @ np.array([299, 587, 114]) / 1000
    assert np.abs(source.x[2, ..., 0] - grey).max() <= 1


def test_what_is_left_out_is_remembered_with_the_cache(digits):
    (digits[0] / "1.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"1\.png: not an image that can be read"):
        labelled_images(*digits)
    for _ in range(2):
        problems = Problems(skip=True)
        assert len(labelled_images(*digits, problems=problems)) == 2
        assert len(problems.found) == 1


def test_missing_files(tmp_path):
    with pytest.raises(UserError, match=r"labels\.txt: there is no such label file"):
        labelled_images(tmp_path, tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(UserError, match="there is no such folder of images"):
        labelled_images(tmp_path / "images", tmp_path / "labels.txt")


def test_held_out_images_get_the_numbers_of_the_training_images(digits):
    folder, labels = digits
    labels.write_text("2.png eel\n0.png dog\n")
    held_out = labelled_images(folder, labels, classes=("cat", "dog", "eel"))
    assert held_out.y.tolist() == [2, 1]
    assert labelled_images(folder, labels).y.tolist() == [1, 0]  # not from the other's cache
    with pytest.raises(UserError, match=r"line 1: the label 'eel' is not a class of the training examples"):
        labelled_images(folder, labels, classes=("cat", "dog"))
