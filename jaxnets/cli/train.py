"""The command train: any registered network on any data set, by the six steps of the documents."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from jaxnets.errors import UserError


def train(
    *,
    recipe: str = "plain",
    model: str | None = None,
    dataset: str = "digits",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
    seed: int = 0,
    augment: tuple[str, ...] | None = None,
    fill: Literal["nearest", "constant", "reflect", "wrap"] | None = None,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    size: tuple[int, int] | None = None,
    keys: tuple[str, str] | None = None,
    start: Path | None = None,
    tensorboard: bool = False,
    profile: int = 0,
    devices: int | None = None,
    sharding: Literal["data", "fsdp"] = "data",
    distributed: str | None = None,
) -> list[dict[str, Any]]:
    """Train a network on a data set; the same command again continues from its last checkpoint.

    Args:
        recipe: Defaults for the options below: plain (lenet5, 20 epochs, batches of 32, adam at 0.001) or
            fast (speednet, 8 epochs, Muon, crops, mirroring of colour images, smoothed labels).
        model: Name of a network, as `python -m jaxnets models` lists them.
        dataset: digits, iris, one made with `python -m jaxnets data prepare`, or any name that TFDS knows
            (mnist, fashion_mnist, cifar10, ...).
        epochs: Passes over the training examples in all, including those of an interrupted run.
        batch_size: Examples in a step.
        learning_rate: Learning rate of the optimizer.
        optimizer: sgd, sgdm, adagrad, rmsprop, adam, ...
        seed: Seed of the first parameters, the order of the examples and all other random draws.
        augment: Changes of the training images, each as NAME or NAME=A:B: rotation=45 shift=0.15 zoom=0.5 ...
        fill: Filling of the places that a rotated or shifted image leaves empty.
        workdir: The run's folder. By default runs/MODEL-DATASET.
        data_dir: Folder of prepared TFDS data sets. By default that of TFDS.
        size: Height and width to scale images to, required if they differ in size.
        keys: Names of the input and the label among the features of a TFDS data set. By default those that it
            names itself.
        start: Source of the first parameters: the folder of another run of this model, or a Keras file. By
            default they are drawn from the seed.
        tensorboard: Whether to write files for `tensorboard --logdir WORKDIR`: scalars, histograms, images
            and the graph.
        profile: Number of steps to trace, for TensorBoard or Perfetto.
        devices: Number of devices that share every batch. By default all.
        sharding: How several devices share the work: data splits batches, fsdp the parameters and the
            optimizer's memory, too.
        distributed: How to join other processes that train with this one: "auto" on Slurm or a TPU pod,
            elsewhere HOST:PORT,COUNT,INDEX with the address of process 0.
    """
    if epochs is not None and epochs < 1:
        raise UserError(f"--epochs {epochs}: it must be at least 1")
    from jaxnets import data, losses, machine, metrics, plots, recipes, runs, train
    from jaxnets.data.augment import compose_for, parse
    from jaxnets.runs.start import inputs_of, start_from
    from jaxnets.summary import summarize

    machine.set_up()
    train.join(distributed)
    say = print if train.is_writer() else lambda _: None
    # 1. data
    examples = data.load(dataset, data_dir=data_dir, size=size, keys=keys)
    asked: dict[str, Any] = {
        "model": model,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
    }
    asked |= {"learning_rate": learning_rate, "augment": augment, "fill": fill}
    plan = recipes.choose(recipe, examples, **asked)
    changes = parse(plan.augment)
    batches, held_out = data.Batches(examples.train, plan.batch_size, seed), data.Batches(examples.test, 256)
    # 2. network
    network = runs.make_model(plan.model, examples.features)
    # 3. optimizer and loss: cross-entropy on logits, of proportions where augmentation mixes labels
    mixed = any(change.mix for change in changes)
    loss = losses.categorical_crossentropy if mixed else losses.sparse_categorical_crossentropy
    accuracy = metrics.categorical_accuracy if mixed else metrics.accuracy
    descent, rate = plan.descent(plan.epochs * batches.steps_per_epoch)
    # 4. fit
    mesh = train.make_mesh(devices, sharding)
    inputs = inputs_of(start, plan.model) if start else "unit"
    state = train.make_state(network, descent, examples.features.shape, seed)
    if start is not None:
        found = start_from(start, plan.model, network, examples.features, state.variables)
    else:
        found = plan.start(state.variables, examples, runs.INPUTS[inputs])
    state = train.make_state(network, descent, examples.features.shape, seed, found)
    workdir = workdir or runs.default_folder(f"{plan.model}-{dataset}")
    settings: dict[str, Any] = {
        "optimizer": plan.optimizer,
        "learning_rate": plan.learning_rate,
        "batch_size": plan.batch_size,
        "seed": seed,
    }
    if changes:
        settings |= {"augment": plan.augment, "fill": plan.fill}
    if plan.label_smoothing:
        settings |= {"label_smoothing": plan.label_smoothing}
    settings |= {"start": str(start) if start else None, "epochs": plan.epochs}
    train.write_config(workdir, runs.describe(plan.model, examples, inputs) | settings)
    say(f"{len(examples.train):,} examples of {dataset}, {len(examples.test):,} held out; {workdir}")
    say((layers := summarize(network, examples.features.shape)).to_text())
    callbacks: list[train.Callback] = [train.RecordLearningRate(rate)]
    callbacks += [train.TensorBoard(workdir / "tensorboard", graph=layers)] if tensorboard else []
    callbacks += [train.Profile(workdir / "profile", profile)] if profile else []
    state, history = train.fit(
        state,
        train.make_train_step(
            network,
            descent,
            loss=partial(loss, label_smoothing=plan.label_smoothing),
            metrics={"accuracy": accuracy},
            augment=compose_for(examples.features, changes, plan.fill),
            preprocess=runs.INPUTS[inputs],
        ),
        batches,
        epochs=plan.epochs,
        validation=train.Validation(train.make_eval_step(network, preprocess=runs.INPUTS[inputs]), held_out),
        keep=train.Keep(workdir),
        callbacks=callbacks,
        mesh=mesh,
    )
    # 5. summary
    last = history[-1]
    say(f"training: loss {last['loss']:.4f}, accuracy {last['accuracy']:.4f}")
    say(f"held out: loss {last['val_loss']:.4f}, accuracy {last['val_accuracy']:.4f}, epoch {last['epoch']}")
    # 6. pictures
    if train.is_writer():
        plots.curves(history, workdir / "curves.png")
        command = runs.save_pictures(workdir, examples, network, state.variables, runs.INPUTS[inputs])
        say(f"curves, metrics and checkpoints are in {workdir}; try next")
        say(f"  {command}")
    return history
