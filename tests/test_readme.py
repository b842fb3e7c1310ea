"""README.md, CONTRIBUTING.md and the like: their links lead somewhere, and their Python runs."""

import ast
import re
from pathlib import Path

import jax
import numpy as np
import pytest

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
    model.save("lenet5.keras")
    names = {"x": np.random.default_rng(0).uniform(size=(5, 28, 28, 1)).astype(np.float32)}
    exec(block("from_keras"), names)
    with jax.numpy_rank_promotion("allow"):  # Keras broadcasts biases without saying so
        expected = np.asarray(model(names["x"]))
    # float32 sums of up to 400 products, in another order
    np.testing.assert_allclose(names["logits"], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_training_from_python_ends_about_as_printed():
    """Rounding moves the result as another seed would: see test_it_prints_what_the_readme_shows."""
    code = block("train.fit")
    names: dict = {}
    exec(code, names)
    printed = ast.literal_eval(re.search(r"# about (\{.*\})", code)[1])
    assert names["measured"] == pytest.approx(printed, abs=0.05)
    assert list(names["measured"]) == list(printed)
