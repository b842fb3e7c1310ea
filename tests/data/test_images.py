"""Image files are opened, whatever is wrong with them is one sentence, and their size is looked at first."""

import numpy as np
import pytest
from PIL import Image

from jaxnets.data.formats.drawings import read_image
from jaxnets.data.formats.images import open_image
from jaxnets.errors import UserError

SHAPE = (28, 28, 1)


def test_colour_networks_get_colours(tmp_path):
    Image.new("RGB", (64, 40), (10, 120, 250)).save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png", (32, 32, 3))
    assert (image == (10, 120, 250)).all()


def test_unreadable_files_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"no\.png: there is no such file"):
        read_image(tmp_path / "no.png", SHAPE)
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)).save(
        tmp_path / "whole.jpg"
    )
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    for name in ("text.png", "cut.jpg"):
        with pytest.raises(UserError, match=f"{name}: not an image that can be read"):
            read_image(tmp_path / name, SHAPE)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    Image.new("L", (300, 200)).save(tmp_path / "image.png")
    assert open_image(tmp_path / "image.png", "it", largest=60_000).size == (300, 200)
    with pytest.raises(
        UserError, match=r"^it: 300 x 200 pixels are too many; make it smaller, 59,999 pixels"
    ):
        open_image(tmp_path / "image.png", "it", largest=59_999)
