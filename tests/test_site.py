"""The site that `make docs` builds has every page and every public name, as far as sources can tell."""

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import jaxnets

ROOT = Path(__file__).parents[1]
MENU = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
API = {
    page.name: re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    for page in ROOT.glob("docs/api/*.md")
}
SHOWN = {name for names in API.values() for name in names}


def entries(menu: Any) -> Iterator[str]:
    """The paths of the pages that a part of the menu leads to."""
    if isinstance(menu, str):
        yield menu
    else:
        for part in menu.values() if isinstance(menu, dict) else menu:
            yield from entries(part)


def test_the_menu_has_every_page_once():
    pages = (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    assert sorted(entries(MENU)) == sorted(page.relative_to(ROOT).as_posix() for page in pages)


@pytest.mark.parametrize("page", API)
def test_pages_of_the_api_show_what_is_there_and_public(page):
    for name in API[page]:
        assert not re.search(r"\._", name)
        pkgutil.resolve_name(name)


def test_every_package_is_shown():
    found = (module for module in pkgutil.iter_modules(jaxnets.__path__, "jaxnets.") if module.ispkg)
    assert {module.name for module in found} <= SHOWN


def test_users_see_the_figures_of_the_benchmarks():
    table = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    measured = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    machine, latest = measured.split("\n## ")[1].split("\n", 1)  # of several machines, the one measured last
    assert machine.split(",")[0] in table
    rows = re.findall(
        r"^\| (\w+)(?:, 224x224)? \| (\S+) \| (\S+x) \| (\S+) \| (\S+) \|$", table, re.MULTILINE
    )
    assert len(rows) == 14
    for name, step, ratio, prediction, its_ratio in rows:
        assert re.search(rf"\| \w+ {name} \| 32 \| {ratio} \| {step} \|", latest), name
        if prediction != "-":
            assert re.search(rf"\| \w+ {name} \| 32 \| {its_ratio} \| {prediction} \|", latest), name
