"""Fonts for what matplotlib's own font lacks, such as Chinese."""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def legible(drawing: Any) -> Iterator[None]:
    """Gives the texts of a figure the fonts that they need, for as long as it is drawn.

    What no installed font has is drawn as boxes, and said once on stderr.
    """
    import warnings

    from matplotlib.axes import Axes
    from matplotlib.text import Text

    for axes in drawing.findobj(Axes):
        axes.get_xticklabels(), axes.get_yticklabels()  # makes their texts
    texts = [text for text in drawing.findobj(Text) if text.get_text()]
    wanted = {letter for text in texts for letter in text.get_text() if letter.isprintable()}
    families, lacking = _families(frozenset(wanted))
    for text in texts if families else ():
        text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *families])))
    if lacking:
        _say("".join(sorted(lacking)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@functools.cache
def _families(wanted: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Returns fonts that together have the letters that matplotlib's own lacks, and the letters in none."""
    from matplotlib import font_manager

    lacking = wanted - _letters(font_manager.findfont(font_manager.FontProperties()))
    families: list[str] = []
    for path, family in _installed() if lacking else ():
        if not lacking:
            break
        if more := lacking & _letters(path):
            families.append(family)
            lacking -= more
    return tuple(families), lacking


def _installed() -> Iterator[tuple[str, str]]:
    """Yields the installed fonts, plain ones first, and those that matplotlib's list does not have yet."""
    from matplotlib import font_manager, get_data_path

    manager, own = font_manager.fontManager, get_data_path()
    known = [font for font in manager.ttflist if not font.fname.startswith(own)]
    for font in sorted(known, key=lambda font: (font.style != "normal", abs(_weight(font) - 400), font.name)):
        yield font.fname, font.name
    for path in sorted(set(font_manager.findSystemFonts()) - {font.fname for font in known}):
        try:
            manager.addfont(path)
        except Exception:  # whatever a font of an unknown kind raises
            continue
        yield path, manager.ttflist[-1].name


def _weight(font: Any) -> int:
    from matplotlib.font_manager import weight_dict

    return weight_dict.get(font.weight, 400) if isinstance(font.weight, str) else int(font.weight)


@functools.cache
def _letters(path: str) -> frozenset[str]:
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except Exception:  # whatever a font of an unknown kind raises
        return frozenset()


@functools.cache
def _say(letters: str) -> None:
    some = letters[:20] + "..." * (len(letters) > 20)
    advice = "install one that has, such as Noto Sans CJK"
    print(f"no font of this machine has {some}: pictures show boxes; {advice}", file=sys.stderr)
