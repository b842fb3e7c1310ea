"""Few examples of new classes, learned with a backbone trained on other classes, and without one (F5).

    python experiments/transfer_learning.py                     # CIFAR-10's last five classes from its first
    python experiments/transfer_learning.py --dataset digits    # 5 to 9 from 0 to 4
    python experiments/transfer_learning.py --dataset fashion_mnist --backbone runs/lenet5-mnist

The backbone learns the first half of the classes from all their images, or comes from a run's folder. Of each
new class there are only ten images. A new head is trained on the frozen backbone at ten times the learning
rate, then everything is trained; from scratch, the same network gets the same images for as many steps. Three
seeds draw both weights and images. The documented system is Xception on flowers: `flowers.py`.
Measured: docs/results.md. The backbone helps on CIFAR-10, but not on the digits.
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, plots, runs, train
from jaxnets.data import ArraySource, Batches, Source
from jaxnets.errors import UserError, lookup
from jaxnets.models import MODELS, Classifier
from jaxnets.pretrained import transplant
from jaxnets.train.freeze import freeze

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

HEADS = ("head", "predictions")


def of_classes(source: Source, first: int, last: int) -> ArraySource:
    """The examples of the classes first ... last - 1, numbered from 0."""
    labels = source.labels()
    chosen = source[np.flatnonzero((labels >= first) & (labels < last))]
    return ArraySource(chosen["x"], chosen["y"] - first, source.features.classes[first:last])


def few_of(source: ArraySource, count: int, seed: int) -> ArraySource:
    """So many examples of every class."""
    rng = np.random.default_rng(seed)
    classes = source.features.classes
    least = np.min(np.bincount(source.y, minlength=len(classes)))
    if not 0 < count <= least:
        raise UserError(
            f"--per-class {count}: it must be 1 to {least}, for that many there are of each class"
        )
    rows = [
        rng.choice(np.flatnonzero(source.y == label), count, replace=False) for label in range(len(classes))
    ]
    return ArraySource(**source[np.concatenate(rows)], classes=classes)


class Way(NamedTuple):
    """A way to train: made once, so that it is compiled once for all seeds."""

    model: Any
    optimizer: Any
    step: Callable[..., Any]
    judge: Callable[..., Any]


def way(model: Any, optimizer: Any, preprocess: runs.Preprocess) -> Way:
    """Cross-entropy, judged by accuracy."""
    step = train.make_train_step(model, optimizer, preprocess=preprocess)
    return Way(model, optimizer, step, train.make_eval_step(model, preprocess=preprocess))


def draw(seen: dict[str, list[list[tuple[int, float]]]], path: Path) -> None:
    """The accuracy over the epochs: a thick line for the mean of the seeds, a thin one for each."""
    with plots.figure(path, size=(6.0, 3.6)) as axes:
        axis = axes[0, 0]
        for number, (name, runs_of_it) in enumerate(seen.items()):
            colour, style = plots.COLOURS[number], ("-", "--", "-.")[number]
            epochs = [epoch for epoch, _ in runs_of_it[0]]
            accuracies = np.array([[accuracy for _, accuracy in one] for one in runs_of_it])
            axis.plot(epochs, accuracies.T, color=colour, alpha=0.3, linewidth=0.8)
            axis.plot(epochs, accuracies.mean(0), color=colour, linestyle=style, label=name)
        axis.set(xlabel="epoch of the few images", ylabel="accuracy, held-out images")
        axis.legend(loc="lower right")


def main(
    *,
    dataset: str = "cifar10",
    model: str = "lenet5",
    backbone: Path | None = None,
    per_class: int = 10,
    epochs: int = 10,
    few_epochs: int = 40,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    seeds: int = 3,
    workdir: Path = Path("runs/transfer_learning"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train each way and compare.

    Args:
        dataset: Name of a data set of images. If it is not available, digits are used instead.
        model: The backbone's network.
        backbone: Folder of a run whose network becomes the backbone, instead of training one; then all
            classes of the data set are new.
        per_class: Images of each new class.
        epochs: Epochs of the backbone's training.
        few_epochs: Passes over the few images, half of them with the backbone frozen.
        batch_size: Images in a step of the backbone's training; the few images come in steps of ten.
        learning_rate: Learning rate of Adam.
        seed: First seed.
        seeds: Number of seeds.
        workdir: Folder for accuracy.png.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    examples = data.at_hand(dataset, data_dir)
    shape, count = examples.features.shape, len(examples.features.classes)
    run = runs.load_run(backbone) if backbone else None
    old = 0 if run else count // 2
    new, held_out = (of_classes(part, old, count) for part in (examples.train, examples.test))
    # 2. network
    body = run.model if run else lookup(MODELS, model, "model")()
    preprocess = run.preprocess if run else train.normalize
    network = Classifier(body, num_classes=count - old)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)))
    # 3. optimizers and loss
    adam, eager = (optim.OPTIMIZERS["adam"](rate) for rate in (learning_rate, 10 * learning_rate))
    before = way(Classifier(body, num_classes=old), adam, preprocess)
    whole = way(network, adam, preprocess)
    frozen = way(*freeze(network, eager, shapes["params"], ["backbone"]), preprocess)

    # 4. fit
    def fit(how: Way, start: Any, parts: tuple[Source, Source], size: int, epochs: int, seed: int) -> Any:
        source, test = parts
        return train.fit_compiled(
            train.make_state(how.model, how.optimizer, shape, seed, start),
            how.step,
            Batches(source, size, seed),
            epochs=epochs,
            validation=train.Validation(how.judge, Batches(test, 256), every=max(1, epochs // 10)),
        )

    first, second = few_epochs // 2, few_epochs - few_epochs // 2
    seen: dict[str, list[list[tuple[int, float]]]] = {
        "from scratch": [],
        "backbone frozen": [],
        "then thawed": [],
    }
    history: list[dict[str, Any]] = []
    for number in range(seed, seed + seeds):
        if run:
            found = run.variables
        else:
            known = of_classes(examples.train, 0, old), of_classes(examples.test, 0, old)
            state, history = fit(before, None, known, batch_size, epochs, number)
            found = {name: tree["backbone"] for name, tree in state.variables.items() if "backbone" in tree}
            print(f"seed {number}: the backbone tells the old classes, {history[-1]['val_accuracy']:.4f}")
        few = few_of(new, per_class, number)
        fresh = train.make_state(network, adam, shape, number).variables
        start = transplant(fresh, found, without=HEADS)
        plans = {
            "from scratch": (whole, fresh, few_epochs),
            "backbone frozen": (frozen, start, first),
            "then thawed": (whole, None, second),
        }
        done = 0
        for name, (how, variables, length) in plans.items():
            variables = state.variables if variables is None else variables
            state, records = fit(how, variables, (few, held_out), 10, length, number)
            done = first if name == "then thawed" else 0
            judged = [record for record in records if "val_accuracy" in record]
            seen[name].append([(done + record["epoch"], record["val_accuracy"]) for record in judged])
    # 5. summary
    measured: dict[str, Any] = {}
    for name, each in seen.items():
        last = [one[-1][1] for one in each]
        measured[f"accuracy {name}"] = float(np.mean(last))
        print(f"{name:<16}{np.mean(last):.4f}, seeds: {' '.join(f'{value:.4f}' for value in last)}")
        measured |= {f"accuracy {name}, seed {seed + number}": value for number, value in enumerate(last)}
    # 6. picture
    draw(seen, workdir / "accuracy.png")
    return measured | {"history": history, "dataset": examples.name}


if __name__ == "__main__":
    commandline.run(main)
