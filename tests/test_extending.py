"""docs/extending.md does what it says: its Python runs, and its network computes what Keras's does."""

import re
from pathlib import Path

import jax
import pytest

from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.summary import summarize

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras
def test_the_page_runs_from_top_to_bottom(monkeypatch):
    for table in (MODELS, INPUT_SHAPES):
        monkeypatch.setitem(table, "all_cnn", None)  # taken back at the end
    names = {"__name__": "extending"}
    with jax.numpy_rank_promotion("allow"):  # Keras broadcasts biases without saying so
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "extending.md", "exec"), names)
    assert len(names["history"]) == 1
    # the paper's table 1 by hand: kernels and biases
    widths = [(3, 96, 9), (96, 96, 9), (96, 96, 9), (96, 192, 9), (192, 192, 9), (192, 192, 9)]
    widths += [(192, 192, 9), (192, 192, 1), (192, 10, 1)]
    counted = summarize(MODELS["all_cnn"](), (32, 32, 3)).parameters
    assert counted == sum(into * out * size + out for into, out, size in widths)
