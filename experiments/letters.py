"""A simple recurrent network predicts the next letter from one or four, one-hot or embedded (D2 to D5).

    python experiments/letters.py --model letters_4to1 --text abcd      # abcd->e
    python experiments/letters.py --model letters_4to1_embedding --ask  # asks, as the document does

Adam 0.01, batches of 32, 100 epochs; the weights of the epoch with the least training loss are used for the
answers. Documented are these numbers of parameters (the first is derived), and loss and accuracy of the last
epoch:

    D2  letters_1to1            47       -    1.0
    D3  letters_4to1            47  0.2572    1.0
    D4  letters_1to1_embedding  48  0.6305    1.0
    D5  letters_4to1_embedding 468  0.1948    1.0
"""

from jaxnets.cli import commandline

from jaxnets import data, export, models, optim, plots, report, runs, train
from jaxnets.course.letters import encode, letters
from jaxnets.errors import UserError, lookup
from jaxnets.summary import summarize

import string
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Task(NamedTuple):
    """What a network learns: the letters in their order, and whether the first follows the last."""

    alphabet: str
    cyclic: bool
    documented: dict[str, float]


TASKS = {
    "letters_1to1": Task("abcde", True, {"parameters": 47, "accuracy": 1.0}),
    "letters_4to1": Task("abcde", True, {"parameters": 47, "loss": 0.2572, "accuracy": 1.0}),
    "letters_1to1_embedding": Task("abcde", True, {"parameters": 48, "loss": 0.6305, "accuracy": 1.0}),
    "letters_4to1_embedding": Task(
        string.ascii_lowercase, False, {"parameters": 468, "loss": 0.1948, "accuracy": 1.0}
    ),
}
DOCUMENTED = {model: task.documented for model, task in TASKS.items()}
DERIVED = {"letters_1to1": ("parameters",)}


def main(
    *,
    model: str = "letters_4to1",
    text: str | None = None,
    ask: bool = False,
    epochs: int = 100,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    seed: int = 0,
    workdir: Path | None = None,
) -> dict[str, Any]:
    """Train on every run of letters in the alphabet, then print what follows the letters that are asked for.

    Args:
        model: letters_1to1, letters_4to1, letters_1to1_embedding or letters_4to1_embedding.
        text: Letters to continue, as many as the network takes.
        ask: Ask for letters to continue, again and again.
        epochs: Passes over the runs of letters.
        batch_size: Runs of letters in a step.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights and the order of the runs.
        workdir: The run's folder. By default runs/MODEL.
    """
    # 1. data
    alphabet, cyclic, documented = lookup(TASKS, model, "model")
    window, *one_hot = shape = models.INPUT_SHAPES[model]
    known = letters(alphabet, window, one_hot=bool(one_hot), cyclic=cyclic)
    as_input = partial(encode, window=window, alphabet=alphabet, one_hot=bool(one_hot))
    if text is not None:
        as_input(text)  # what is wrong with it is said before the training
    # 2. network
    network = models.MODELS[model]()
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    # 4. fit
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "seed": seed, "epochs": epochs}
    config = runs.describe_features(model, known.features, None, "unit") | {"experiment": "letters"}
    workdir, variables, history = runs.train_once(
        workdir,
        model,
        config | settings,
        lambda: train.fit_compiled(
            train.make_state(network, optimizer, shape, seed),
            train.make_train_step(network, optimizer),
            data.Batches(known, batch_size, seed),
            epochs=epochs,
            best="loss",
        ),
    )
    # 5. summary
    summary = summarize(network, shape)
    print(summary.to_text())
    measured: dict[str, Any] = {"parameters": summary.parameters, **history[-1]}
    report.beside(
        documented, {name: round(measured[name], 4) for name in documented}, derived=DERIVED.get(model, ())
    )
    # 6. the parameters as text, picture and application
    export.export_text(workdir / "weights.txt", network, variables, shape)
    plots.curves(history, workdir / "curves.png", title=f"{model} on {alphabet}")

    @jax.jit
    def guess(x: jax.Array) -> jax.Array:
        logits: Any = network.apply(variables, x)
        return jnp.argmax(logits, axis=-1)

    def after(text: str) -> str:
        return alphabet[int(guess(as_input(text)[None])[0])]

    if text is not None:
        measured["answer"] = after(text)
        print(f"{text}->{measured['answer']}")
    if ask:
        converse(after)
    answers = np.asarray(guess(known.x))
    return measured | {"history": history, "accuracy of the best": np.mean(answers == known.y)}


def converse(after: Callable[[str], str]) -> None:
    """The document's prompts: how many, then text after text; what is wrong with one is said in a line."""
    with suppress(EOFError):
        number = input("input the number of test alphabet:")
        if not number.strip().isdecimal():
            raise UserError(f"the number of test alphabet is {number!r}: it must be a whole number")
        for _ in range(int(number)):
            text = input("input test alphabet:")
            try:
                print(f"{text}->{after(text)}")
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)


if __name__ == "__main__":
    commandline.run(main)
