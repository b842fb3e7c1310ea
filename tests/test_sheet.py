"""predict --sheet: what is drawn, and where it refuses to write."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from jaxnets import data
from jaxnets.data.formats.drawings import Drawn, read_image


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four digits, dark on paper, larger than the network takes and not square."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}.png" for number in range(4)]
    for path, image in zip(paths, data.load("digits").test.x, strict=False):
        Image.fromarray(255 - image[..., 0]).resize((210, 300)).save(path)
    return paths


def test_the_sheet_shows_images_what_was_seen_and_the_guesses(run, workdir, files, tmp_path, monkeypatch):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    code, out, err = run("predict", workdir, *files, "--sheet", tmp_path / "new" / "sheet.png", "--json")
    assert code == 0
    assert err == f"{tmp_path / 'new' / 'sheet.png'}: 4 of them, and what was seen\n"
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.size[0] > sheet.size[1]
    axis = figures[0].axes[0]
    assert len(axis.images) == 8
    for file, shown, seen in zip(files, axis.images[::2], axis.images[1::2], strict=True):
        assert shown.get_array().shape == (192, 134, 3)
        left, right, bottom, top = shown.get_extent()
        assert (right - left) / (bottom - top) == pytest.approx(134 / 192)
        expected = read_image(file, (28, 28, 1), drawn=Drawn("light", 1.0, "box"))
        np.testing.assert_array_equal(seen.get_array(), np.repeat(expected, 3, -1))
    words = [text.get_text() for text in axis.texts]
    for file, answer in zip(files, json.loads(out), strict=True):
        assert file.name in words
        for guess in answer["guesses"]:
            assert f"{guess['label']}  {guess['probability']:.1%}" in words
    # Every bar is on a track of length 1.
    lengths = [np.ptp(patch.get_xy()[:, 0]) for patch in axis.patches]
    assert lengths[::2] == pytest.approx([1.0] * 12)
    probabilities = [guess["probability"] for answer in json.loads(out) for guess in answer["guesses"]]
    assert lengths[1::2] == pytest.approx(probabilities)


def test_where_a_sheet_cannot_go_is_one_sentence_and_nothing_is_lost(run, workdir, files, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    before = files[0].read_bytes()
    for sheet, message in (
        (tmp_path, "is a folder: name a file in it"),
        (tmp_path / "sheet.gif", "its name must end in .png"),
        (files[0].parent / "." / files[0].name, "is one of the images: it would be overwritten"),
        (tmp_path / "file" / "sheet.png", "Not a directory; give another path"),
    ):
        code, _, err = run("predict", workdir, *files, "--sheet", sheet)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
    assert files[0].read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_more_images_than_fit_are_refused_before_any_is_read(run, workdir):
    code, _, err = run("predict", workdir, *["none.png"] * 301, "--sheet", "sheet.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "301 images do not fit on a sheet: give 300 at most" in err
