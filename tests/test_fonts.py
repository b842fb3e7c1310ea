"""Class names in any script: drawn in a font that has them, or said once to be boxes."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from jaxnets import plots
from jaxnets.plots import fonts
from jaxnets.runs.predict import Guess, Look
from jaxnets.runs.sheet import contact_sheet


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

    for cached in (fonts._families, fonts._letters):
        cached.cache_clear()
    monkeypatch.setattr(fonts, "_told", [])
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
    for other in "ab鱼":  # warnings are errors in these tests: there is none for each letter
        draw(tmp_path / "x.png", ["猫", "鸟", other])
    said = capsys.readouterr().err
    assert said.startswith("no font of this machine has 鸟: pictures show boxes; install one")
    assert said.count("\n") == 1


def test_a_broken_font_does_not_matter(install, tmp_path, capsys):
    install("Cats", "猫")
    (tmp_path / "Cats.ttf").write_bytes(b"no font")
    draw(tmp_path / "x.png", ["猫", "a"])
    assert "no font of this machine has 猫" in capsys.readouterr().err


NAMES = ["飞机", "短袖圆领的运动衫", "チョウ", "한국어 고양이"]
EVERY_PICTURE = {
    "confusion": lambda path: plots.confusion(np.eye(4), NAMES, path),
    "predictions": lambda path: plots.images(PICTURES, [f"{name}, not {NAMES[0]}!" for name in NAMES], path),
    "boxes": lambda path: plots.images(
        PICTURES, NAMES, path, boxes={name: [np.array([0.1, 0.2, 0.7, 0.8])] * 4 for name in NAMES}
    ),
    "feature maps": lambda path: plots.feature_maps(np.ones((4, 4, 4)), path, titles=NAMES),
    "sheet": lambda path: contact_sheet(
        [(Look(f"{name * 9}.png", PICTURES[0], PICTURES[1]), [Guess(name * 3, 0.7)]) for name in NAMES], path
    ),
    "lines": lambda path: plots.lines(
        {"精度": {name: ([1, 2], [0.5, 0.6]) for name in NAMES}}, path, xlabel="轮"
    ),
    "race": lambda path: plots.race(
        {name: {"loss": [1, 0.5], "accuracy": [0.5, 0.6], "seconds": 1} for name in NAMES}, path
    ),
}
PICTURES = np.zeros((4, 20, 20, 3), np.uint8)


@pytest.mark.parametrize("name", EVERY_PICTURE)
def test_every_picture_draws_them_where_there_is_room(name, install, tmp_path, capsys, drawn):
    """No text reaches into another, none is left in a font without its letters, and no markup is shown."""
    install("East", sorted(set("".join(NAMES) + "精度轮")))
    EVERY_PICTURE[name](tmp_path / "x.png")
    assert capsys.readouterr().err == ""
    (figure,) = drawn
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert not [text for text in texts if "$" in text.get_text() or "mathdefault" in text.get_text()]
    with fonts.legible(figure):
        boxes = [
            text.get_window_extent()
            for text in texts
            if any(letter in "".join(NAMES) for letter in text.get_text())
        ]
    assert boxes
    for number, box in enumerate(boxes):
        for other in boxes[:number]:
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(wide, high) < 3, "pixels of overlap"  # lines of a legend touch
