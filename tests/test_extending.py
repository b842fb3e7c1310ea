"""docs/extending.md does what it says: its Python runs, and its network computes what Keras's does."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets import data, optim, train
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.summary import summarize

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras
@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(monkeypatch):
    for table in (MODELS, INPUT_SHAPES):
        monkeypatch.setitem(table, "all_cnn", None)  # taken back at the end
    names = {"__name__": "extending"}
    with jax.numpy_rank_promotion("allow"):  # Keras broadcasts biases without saying so
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "extending.md", "exec"), names)
    assert len(names["history"]) == 1
    check_bridge(names)
    # the paper's table 1 by hand: kernels and biases
    widths = [(3, 96, 9), (96, 96, 9), (96, 96, 9), (96, 192, 9), (192, 192, 9), (192, 192, 9)]
    widths += [(192, 192, 9), (192, 192, 1), (192, 10, 1)]
    counted = summarize(MODELS["all_cnn"](), (32, 32, 3)).parameters
    assert counted == sum(into * out * size + out for into, out, size in widths)


def check_bridge(names):
    """The NNX layer learns, and computes what NumPy does; the NNX module computes what Linen does."""
    model, optimizer, iris = names["Mixed"](), optim.OPTIMIZERS["adam"](0.05), data.load("iris")
    state = train.make_state(model, optimizer, (4,))
    step, batches = train.make_train_step(model, optimizer), data.Batches(iris.train, 32, seed=0)
    before = np.asarray(state.params["hidden"]["kernel"])
    state, history = train.fit(state, step, batches, epochs=5)
    assert history[-1]["loss"] < history[0]["loss"]
    hidden, head = (jax.tree.map(np.asarray, state.params[name]) for name in ("hidden", "head"))
    assert not np.array_equal(hidden["kernel"], before)
    inner = np.maximum(iris.test.x @ hidden["kernel"] + hidden["bias"], 0)
    expected = inner @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(model.apply(state.variables, iris.test.x), expected, rtol=1e-4, atol=1e-5)
    module = names["module"]
    held = {name: getattr(module, name) for name in ("conv1", "conv2", "dense1", "dense2", "head")}
    params = {layer: {name: one[...] for name, one in arrays.items()} for layer, arrays in held.items()}
    x = np.ones((2, 28, 28, 1), np.float32)
    np.testing.assert_allclose(names["logits"], MODELS["lenet5"]().apply({"params": params}, x), rtol=1e-5)
