"""docs/keras_files.md does what it says: its Python runs, and prints what the text promises."""

import re
from pathlib import Path

import jax
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "keras_files.md").read_text()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras
def test_the_page_runs_from_top_to_bottom(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "keras_weights_page"}
    with jax.numpy_rank_promotion("allow"):  # Keras broadcasts biases without saying so
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "keras_files.md", "exec"), names)
    out = capsys.readouterr().out
    assert re.search(r"answer +head \(Dense\) +\(8, 3\) \(3,\) +rename", out)
    assert "at their initial values: answer (8, 5) (5,); not taken from it: answer" in out
