"""Class names in any script: drawn in a font that has them, or said once to be boxes."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from jaxnets import plots
from jaxnets.plots import fonts


def square(left):
    """A filled rectangle from `left` on."""
    pen = TTGlyphPen(None)
    pen.moveTo((left, 0))
    for point in ((left, 800), (900, 800), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Returns a function that installs a font with some letters, after matplotlib has made its list."""
    system = []
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: system)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])

    def make(family, letters):
        names = [".notdef", *(f"u{ord(letter):x}" for letter in letters)]
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder(names)
        builder.setupCharacterMap(
            {ord(letter): name for letter, name in zip(letters, names[1:], strict=True)}
        )
        shapes = [square(50), *(square(100 + 150 * (ord(letter) % 5)) for letter in letters)]
        builder.setupGlyf(dict(zip(names, shapes, strict=True)))
        builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
        builder.setupHorizontalHeader(ascent=900, descent=-100)
        builder.setupNameTable({"familyName": family, "styleName": "Regular"})
        builder.setupOS2(sTypoAscender=900)
        builder.setupPost()
        builder.save(tmp_path / f"{family}.ttf")
        system.append(str(tmp_path / f"{family}.ttf"))

    for cached in (fonts._families, fonts._letters, fonts._say):
        cached.cache_clear()
    yield make
    fonts._families.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    return figures


def draw(path, names):
    plots.confusion(np.eye(len(names)), names, path)
    return np.asarray(Image.open(path).convert("L")).astype(int)


def test_names_are_drawn_in_installed_fonts_that_have_their_letters(install, tmp_path, capsys, drawn):
    install("Cats", "猫")
    install("Dogs", "狗")
    pictures = [draw(tmp_path / "x.png", names) for names in (["猫", "a"], ["狗", "a"], ["猫", "狗"])]
    assert capsys.readouterr().err == ""
    assert np.abs(pictures[0] - pictures[1]).max() > 100  # not the same box
    ticks = [label for label in drawn[2].axes[0].get_xticklabels() if label.get_text() in "猫狗"]
    assert [label.get_text() for label in ticks] == ["猫", "狗"]
    assert all(label.get_fontfamily()[-2:] == ["Cats", "Dogs"] for label in ticks)


def test_plain_names_look_for_no_font(install, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fonts, "_installed", lambda: pytest.fail("it looked"))
    draw(tmp_path / "x.png", ["ant", "Bär"])
    assert capsys.readouterr().err == ""


def test_what_no_font_has_is_said_once_in_words(install, tmp_path, capsys):
    install("Cats", "猫")
    for _ in range(2):  # warnings are errors in these tests: there is none for each letter
        draw(tmp_path / "x.png", ["猫", "鸟"])
    said = capsys.readouterr().err
    assert said.startswith("no font of this machine has 鸟: pictures show boxes; install one")
    assert said.count("\n") == 1


def test_a_broken_font_does_not_matter(install, tmp_path, capsys):
    install("Cats", "猫")
    (tmp_path / "Cats.ttf").write_bytes(b"no font")
    draw(tmp_path / "x.png", ["猫", "a"])
    assert "no font of this machine has 猫" in capsys.readouterr().err
