"""README.md, CONTRIBUTING.md and the like: their links lead somewhere, and their Python runs."""

import ast
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.catalogue import ROWS
from tests import documented
from tests.keras_twins import lenet5

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def anchors(page: Path) -> set[str]:
    """What forges call a page's headings in links."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_is_there(page):
    assert not re.search(r"^\[`.*\]: ", page.read_text(), re.M), "forges read such labels, the site does not"
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def block(word: str) -> str:
    (found,) = (one for one in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in one)
    return found


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, saving
def test_the_three_lines_compute_what_keras_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = lenet5((28, 28, 1), activation="relu", padding="same")
    Path("runs", "lenet5-digits").mkdir(parents=True)
    model.save_weights("runs/lenet5-digits/model.weights.h5")
    x = np.random.default_rng(0).uniform(size=(5, 28, 28, 1)).astype(np.float32)
    names: dict = {}
    exec(block("from_keras"), names)
    with jax.numpy_rank_promotion("allow"):  # Keras broadcasts biases without saying so
        expected = np.asarray(model(x))
    logits = names["model"].apply(names["variables"], x)
    # float32 sums of up to 400 products, in another order
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_training_from_python_ends_about_as_printed():
    """Rounding moves the result as another seed would: see test_it_prints_what_the_readme_shows."""
    code = block("train.fit")
    names: dict = {}
    exec(code, names)
    printed = ast.literal_eval(re.search(r"# about (\{.*\})", code)[1])
    assert names["measured"] == pytest.approx(printed, abs=0.05)
    assert list(names["measured"]) == list(printed)


LANGUAGES = ("README.md", "README.zh.md")


def test_both_languages_show_the_same():
    """The same parts in the same order, the same commands and code but for names and comments."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in LANGUAGES)
    assert english.startswith("English | [中文](README.zh.md)\n")
    assert chinese.startswith("[English](README.md) | 中文\n")
    kinds = re.compile(r"^(#+ |\||```|    |!\[)", re.MULTILINE)  # headings, rows, blocks and pictures
    assert kinds.findall(english) == kinds.findall(chinese)
    shown = [documented.read(text) for text in (english, chinese)]
    for one, other in zip(*(page.blocks for page in shown), strict=True):
        if isinstance(one, str):
            assert bare(one) == bare(other)
        else:
            assert [bare(line) for line in one] == [bare(line) for line in other]
    for text in re.findall(r"^```\n(Model: .*?)^```", english, re.DOTALL | re.MULTILINE):
        assert text in chinese
    pictures = re.compile(r"!\[.*?\]\((.*?)\)")
    assert pictures.findall(english) == pictures.findall(chinese)
    figures = re.compile(r"(?<![\w.])\.\d{3,}")
    assert figures.findall(english) == figures.findall(chinese)


def bare(code: str) -> str:
    """Code without its comments and with one name for what each language names in its own."""
    code = re.sub(r"  # .*", "", code)
    return re.sub(r"photos|照片|odd_or_even|jiou|\b(odd|even)\b|[奇偶]数", "X", code)


def test_the_chinese_index_has_every_system_with_its_script_and_figures():
    index = (ROOT / "docs" / "index.zh.md").read_text(encoding="utf-8")
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([A-F]\d[^|]*?) \|.*?\]\(\.\./experiments/(\w+)\.py\)", index, re.MULTILINE))
    assert rows == {code: row.script for code, row in ROWS.items()}
    code, shown = "", 0
    for line in index.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[0] not in ("编号", "---"):
            code = cells[0] or code
            part = re.search(rf"^\| {code} \|.*\n(\|  \|.*\n)*", results, re.MULTILINE)[0]
            for figure in re.findall(r"-?\d[\d.,]*(?<![.,])", " ".join(cells[5:])):
                assert figure in part, (code, figure)
                shown += 1
    assert shown > 80
