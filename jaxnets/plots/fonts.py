"""Fonts for what matplotlib's own font lacks, such as Chinese."""

import functools
import logging
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_told: list[str] = []  # what was said of fonts in this process: once is enough


def width(text: str) -> int:
    """Returns how wide a text is, about, in Latin letters: Chinese, Japanese and Korean ones count twice.

    Examples:
        >>> width("cat"), width("猫")
        (3, 2)
    """
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def shorten(text: str, most: int) -> str:
    """Returns a text, or its beginning and three dots if it is wider than `most` Latin letters.

    Examples:
        >>> shorten("dog", 4), shorten("crocodile", 6), shorten("飞机和汽车", 6)
        ('dog', 'cro...', '飞...')
    """
    if width(text) <= most:
        return text
    while text and width(text) > most - 3:
        text = text[:-1]
    return f"{text}..."


@contextmanager
def legible(drawing: Any) -> Iterator[None]:
    """Gives the texts of a figure the fonts that they need, for as long as it is drawn.

    What no installed font has is drawn as boxes; the first time, this is said on stderr.
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
        with _quiet(logging.getLogger("matplotlib.font_manager")):
            yield


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keeps a logger from telling, for every text, that a font has no regular weight: some have one alone."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


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


def _say(letters: str) -> None:
    if not _told:
        some = letters[:20] + "..." * (len(letters) > 20)
        advice = "install one that has, such as Noto Sans CJK"
        _told.append(f"no font of this machine has {some}: pictures show boxes; {advice}")
        print(_told[0], file=sys.stderr)
