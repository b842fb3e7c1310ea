"""What a session shows of data sets, networks, states and runs: a short line, and a table of text alone."""

import re
import traceback
from html.parser import HTMLParser

import jax
import numpy as np
import pytest

from jaxnets import data, models, optim, runs, summary, train
from jaxnets.errors import UserError

EVIL = "<script>alert('1')</script>&\""


class Cells(HTMLParser):
    """The texts in a table, and its tags."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tags = [], set()
        self.feed(text)

    def handle_data(self, data):
        self.texts.append(data)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)


def table(thing):
    cells = Cells(thing._repr_html_())
    assert cells.tags <= {"table", "caption", "tr", "th", "td"}
    return cells.texts


def evil_dataset():
    source = data.ArraySource(np.zeros((4, 4)), np.array([0, 1, 1, 0]), [EVIL, "b"])
    return data.Dataset(f"name {EVIL}", source, source, options={"data_dir": EVIL})


def test_a_data_set():
    digits = data.load("digits")
    assert repr(digits) == (
        "Dataset(digits: 1,438 examples to learn from, 359 held out, uint8 (28, 28, 1), 10 classes)"
    )
    assert repr(digits.train) == "ArraySource(1,438 examples: uint8 (28, 28, 1), 10 classes)"
    assert "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in table(digits)
    assert any(EVIL in text for text in table(evil_dataset()))
    numbers = data.ArraySource(np.zeros((4, 4)), np.zeros(4))
    assert repr(data.Subset(numbers, np.arange(2))) == "Subset(2 examples: float32 (4,), regression)"
    assert "none: a regression" in table(data.Dataset("a", numbers, numbers))


def test_a_state_wherever_it_is():
    model, optimizer = models.MODELS["lenet5"](), optim.OPTIMIZERS["adam"](1e-3)
    state = train.make_state(model, optimizer, (28, 28, 1))
    assert repr(state) == "TrainState(0 steps taken: 61,706 parameters)"  # the documented number
    assert {"params/conv1", "bias (6,), kernel (5, 5, 1, 6)", "156"} <= set(table(state))
    seen = []
    jax.jit(lambda state: (seen.append((repr(state), table(state))), state)[1], donate_argnums=0)(state)
    seen.append((repr(state), table(state)))  # its buffers are gone
    seen.append((repr(jax.tree.map(lambda leaf: None, state)), []))
    assert {text for text, _ in seen[:2]} == {"TrainState(steps unknown: 61,706 parameters)"}
    assert "61,706" in seen[0][1][0]
    assert "numpy" not in seen[-1][0]


def test_a_summary():
    found = summary.summarize(models.MODELS["lenet5"](), (28, 28, 1))
    assert repr(found) == "Summary(LeNet5, input (None, 28, 28, 1): 5 layers, 61,706 parameters)"
    cells = table(found)
    for line in found.to_text().splitlines()[4:9]:  # the same figures
        assert set(re.findall(r"[\d,]{2,}$", line)) <= set(cells)


def test_a_run():
    dataset = evil_dataset()
    model = models.MODELS["perceptron"](num_classes=2)
    config = runs.describe_features("perceptron", dataset.features, None, "unit") | {"dataset": EVIL}
    variables = model.init(jax.random.key(0), np.zeros((1, 4)))
    run = runs.Run(config, dataset.features, model, variables, [{"epoch": 1, "loss": 0.5}])
    assert repr(run) == f"Run(perceptron on {EVIL}: float32 (4,), 2 classes, 10 parameters)"
    cells = table(run)
    assert {EVIL, "loss", "0.5"} <= set(cells)


@pytest.mark.parametrize("ask", [lambda: data.load("digts"), lambda: models.MODELS["lenet"]])
def test_a_name_that_nobody_has_is_one_sentence_without_other_errors(ask):
    with pytest.raises(UserError, match=r"did you mean (digits|lenet5)\?") as caught:
        ask()
    said = "".join(traceback.format_exception(caught.value))
    assert said.count("Traceback") == 1
    assert "During handling" not in said
    assert "lenet" not in models.MODELS
    assert models.MODELS.get("lenet") is None
