"""experiments/letters.py: documented figures, Keras's trajectory, the prompts, and what is not a text."""

import subprocess
import sys
from pathlib import Path

import jax
import keras
import numpy as np
import pytest
from PIL import Image

from experiments.letters import TASKS, converse, main
from jaxnets import models, optim, train
from jaxnets.course.letters import letters
from jaxnets.errors import UserError

SCRIPT = Path(__file__).parents[2] / "experiments" / "letters.py"
PARAMETERS = {
    "letters_1to1": 47,
    "letters_4to1": 47,
    "letters_1to1_embedding": 48,
    "letters_4to1_embedding": 468,
}


def answer_with(monkeypatch, *lines):
    """Lets input() give these lines, then the end of the file; returns what it asked, as it is asked."""
    asked, left = [], iter(lines)

    def give(prompt):
        asked.append(prompt)
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", give)
    return asked


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """D3: four one-hot letters to the next."""
    workdir = tmp_path_factory.mktemp("letters")
    return main(text="deab", workdir=workdir) | {"workdir": workdir}


@pytest.mark.parametrize(
    "model, text, after", [("letters_1to1", "e", "a"), ("letters_1to1_embedding", "b", "c")]
)
@pytest.mark.sampled(2)
def test_one_letter_to_the_next(tmp_path, model, text, after):
    measured = main(model=model, text=text, workdir=tmp_path)
    assert measured["answer"] == after
    assert_as_documented(measured, model)


def assert_as_documented(measured, model):
    assert measured["parameters"] == PARAMETERS[model]
    assert measured["accuracy"] == measured["accuracy of the best"] == 1.0
    assert len(measured["history"]) == 100


def test_four_letters_to_the_next_and_its_picture(four):
    assert four["answer"] == "c"
    assert_as_documented(four, "letters_4to1")
    assert four["loss"] < 2 * TASKS["letters_4to1"].documented["loss"]
    with Image.open(four["workdir"] / "curves.png") as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 100  # something is drawn


@pytest.mark.slow
def test_26_letters_and_the_prompts_of_the_document(tmp_path, monkeypatch, capsys):
    asked = answer_with(monkeypatch, "4", "abcd", "ab1d", "wxy", "vwxy")
    measured = main(model="letters_4to1_embedding", ask=True, workdir=tmp_path)
    assert_as_documented(measured, "letters_4to1_embedding")
    assert measured["loss"] < 2 * TASKS["letters_4to1_embedding"].documented["loss"]
    assert asked == ["input the number of test alphabet:"] + 4 * ["input test alphabet:"]
    out, err = capsys.readouterr()
    assert out.splitlines()[-2:] == ["abcd->e", "vwxy->z"]
    assert err.splitlines() == [
        "error: 'ab1d': the letter '1' is not one of abcdefghijklmnopqrstuvwxyz",
        "error: 'wxy': the network takes 4 letters, not 3",
    ]


def keras_history(params):
    """The document's own program, from these parameters: its losses and accuracies."""
    known = letters("abcde", 4)
    with jax.numpy_rank_promotion("allow"):
        rnn, dense = keras.layers.SimpleRNN(3), keras.layers.Dense(5, activation="softmax")
        network = keras.Sequential([keras.layers.Input((4, 5)), rnn, dense])
        rnn.set_weights([params["rnn1"][name] for name in ("kernel", "recurrent_kernel", "bias")])
        dense.set_weights([params["head"][name] for name in ("kernel", "bias")])
        network.compile(
            optimizer=keras.optimizers.Adam(0.01),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=False),
            metrics=["sparse_categorical_accuracy"],
        )
        return network.fit(known.x, known.y, batch_size=32, epochs=100, verbose=0).history


def test_the_hundred_losses_are_those_of_keras(four):
    """From the same first weights; all five runs of letters are one batch."""
    state = train.make_state(models.MODELS["letters_4to1"](), optim.OPTIMIZERS["adam"](0.01), (4, 5), seed=0)
    expected = keras_history(jax.tree.map(np.array, state.params))
    for ours, theirs in (("loss", "loss"), ("accuracy", "sparse_categorical_accuracy")):
        np.testing.assert_allclose([record[ours] for record in four["history"]], expected[theirs], rtol=1e-4)


@pytest.mark.parametrize("lines, said", [((), ""), (("3", "a"), "a->A\n"), (("0",), "")])
def test_the_end_of_the_input_ends_the_prompts(monkeypatch, capsys, lines, said):
    answer_with(monkeypatch, *lines)
    converse(str.upper)
    assert capsys.readouterr().out == said


def test_how_many_must_be_a_number(monkeypatch):
    answer_with(monkeypatch, "many")
    with pytest.raises(UserError, match="the number of test alphabet is 'many': it must be a whole number"):
        converse(str.upper)


@pytest.mark.parametrize(
    "asked, message",
    [
        (
            {"model": "letters"},
            r"unknown model 'letters' \(did you mean letters_\dto1\?\); known: letters_1to1",
        ),
        ({"text": "abcz"}, "'abcz': the letter 'z' is not one of abcde"),
        ({"text": "abc"}, "'abc': the network takes 4 letters, not 3"),
        ({"epochs": 0}, "0 epochs: it must be more than"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(tmp_path, asked, message):
    with pytest.raises(UserError, match=message):
        main(workdir=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_the_command_line_says_it_in_one_line():
    done = subprocess.run([sys.executable, SCRIPT, "--text", "abcz"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: 'abcz': the letter 'z' is not one of abcde\n"
