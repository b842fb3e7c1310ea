"""Five kinds of flowers by a pretrained Xception: a new head is trained first, then everything (F5).

    python experiments/flowers.py                         # downloads weights and flowers once
    python experiments/flowers.py --weights xception.h5 --dataset flowers --data-dir DIR

Of the 3,670 photos of tf_flowers, the first 10% are for testing, the next 15% for validation, the rest for
training. In training a random square of 90% of the shorter side, flipped or not, otherwise an off-centre
crop, is scaled to 224x224. The network is Xception without its head, a global mean and Dense(5). With the
backbone frozen, SGD 0.2 / (1 + 0.01 step) with momentum 0.9, 5 epochs; then for everything, SGD 0.01 /
(1 + 0.001 step) with Nesterov's momentum 0.9, 2 epochs. Batches of 32.

Documented: validation accuracy 0.8934 with the backbone frozen; with all of it 0.9210 and then 0.9118.
`transfer_learning.py` does the same with data that needs no download.
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, plots, report, runs, schedules, train
from jaxnets.data import Batches
from jaxnets.data.augment import Augment, compose
from jaxnets.data.augment.ops import horizontal_flip, off_centre_crop, random_crop, resize
from jaxnets.data.device import gather
from jaxnets.models import INPUT_SHAPES
from jaxnets.pretrained import load_pretrained, tf_inputs, transplant
from jaxnets.train.freeze import freeze

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {
    "parameters": 20_861_480 + 2048 * 5 + 5,
    "val_accuracy, frozen": 0.8934,
    "best val_accuracy": 0.9210,
    "val_accuracy": 0.9118,
}
DERIVED = ("parameters",)
SPLITS = {"test": "train[:10%]", "validation": "train[10%:25%]", "train": "train[25%:]"}
STORED = 320  # pixels that photos are scaled to when they are read; crops count in the photo's own


def cropping(step: Callable[..., Any], crop: Augment) -> Callable[..., Any]:
    """An eval step that crops first: it draws nothing, so any key will do."""
    return lambda variables, batch: step(variables, crop(jax.random.PRNGKey(0), jnp.int32(0), gather(batch)))


def draw_nine(source: data.Source, crop: Augment | None, path: Path) -> None:
    """The first nine photos of a source, each under its class, as they are stored or as they are cropped."""
    batch = next(Batches(source, 9).epoch())
    x = batch["x"] if crop is None else crop(jax.random.PRNGKey(0), jnp.int32(0), gather(batch))["x"]
    titles = [f"Class: {source.features.classes[label]}" for label in batch["y"][: len(source)]]
    plots.images(np.clip(x, 0, 255).astype(np.uint8), titles, path, columns=3, size=(2.0, 2.2))


def main(
    *,
    weights: Path | None = None,
    dataset: str = "tf_flowers",
    epochs: int = 5,
    more_epochs: int = 2,
    batch_size: int = 32,
    seed: int = 0,
    workdir: Path = Path("runs/flowers"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train the head, then everything; the same command again continues the run.

    Args:
        weights: A Keras file of Xception with 1,000 classes. By default the official one, downloaded once
            into ~/.cache/jaxnets (or JAXNETS_CACHE).
        dataset: tf_flowers, or similar photos prepared under another name.
        epochs: Epochs with the backbone frozen.
        more_epochs: Epochs in which everything is trained.
        batch_size: Photos in a step.
        seed: Seed of the head, the order of the photos and their crops.
        workdir: The run's folder.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    shape, where = INPUT_SHAPES["xception_classifier"], str(data_dir) if data_dir else None
    options: dict[str, Any] = {"data_dir": where, "train": SPLITS["train"], "size": (STORED, STORED)}
    examples = data.load(dataset, test=SPLITS["validation"], **options)
    tests = data.load(dataset, test=SPLITS["test"], **options).test
    scaled = resize(*shape[:2])
    crops = compose(random_crop(0.9), horizontal_flip(), scaled), compose(off_centre_crop(), scaled)
    # 2. network
    features = data.Features(shape, "uint8", examples.features.classes)
    network = runs.make_model("xception_classifier", features)
    old = load_pretrained("xception", weights or "imagenet")
    rate = schedules.time_decay(0.2, 0.01)
    sgd: Any = optim.OPTIMIZERS["sgdm"](rate)
    start = transplant(train.make_state(network, sgd, shape, seed).variables, old)
    # 3. optimizers and loss
    nesterov = optim.OPTIMIZERS["nesterov"](schedules.time_decay(0.01, 0.001))
    stages: dict[str, tuple[Any, Any, int]] = {
        "frozen": (*freeze(network, sgd, start["params"], ["backbone"]), epochs),
        "all": (network, nesterov, more_epochs),
    }
    # 4. fit
    settings = {"photos": dataset, "batch_size": batch_size, "seed": seed, "weights": str(weights)}
    # Of crops, which no other command makes: no data set.
    config = runs.describe_features("xception_classifier", features, None, "tf")
    config |= {"experiment": "flowers", "frozen_epochs": epochs, "epochs": more_epochs}
    train.write_config(workdir, config | settings)
    folders = {"frozen": workdir / "frozen", "all": workdir}  # the last one is what is used
    judge = cropping(train.make_eval_step(network, preprocess=tf_inputs), crops[1])
    histories: dict[str, list[dict[str, Any]]] = {}
    for name, (model, optimizer, length) in stages.items():
        state, histories[name] = train.fit(
            train.make_state(model, optimizer, shape, seed, start),
            train.make_train_step(model, optimizer, augment=crops[0], preprocess=tf_inputs),
            Batches(examples.train, batch_size, seed),
            epochs=length,
            steps_per_epoch=max(1, len(examples.train) // batch_size),
            validation=train.Validation(judge, Batches(examples.test, batch_size)),
            keep=train.Keep(folders[name]),
        )
        start = state.variables
    tested = train.evaluate(jax.jit(judge), start, Batches(tests, batch_size))
    # 5. summary
    both = [*histories["frozen"], *({**one, "epoch": epochs + one["epoch"]} for one in histories["all"])]
    measured: dict[str, Any] = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(start)),
        "val_accuracy, frozen": histories["frozen"][-1]["val_accuracy"],
        "best val_accuracy": max(record["val_accuracy"] for record in histories["all"]),
        **both[-1],
        **{f"test_{name}": value for name, value in tested.items()},
    }
    report.beside(
        DOCUMENTED, {name: round(measured[name], 4) for name in DOCUMENTED}, on=dataset, derived=DERIVED
    )
    print(f"test: accuracy {measured['test_accuracy']:.4f}")
    # 6. pictures
    plots.curves(both, workdir / "curves.png", title=f"Xception on {dataset}, frozen and then all of it")
    nine = {
        "flowers": (examples.train, None),
        "crops-train": (examples.train, crops[0]),
        "crops-test": (tests, crops[1]),
    }
    for title, (source, crop) in nine.items():
        draw_nine(source, crop, workdir / f"{title}.png")
    return measured | {"history": both, "dataset": dataset}


if __name__ == "__main__":
    commandline.run(main)
