"""The command train: any registered network on any data set, by the six steps of the documents."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

from jaxnets.cli import names, settings
from jaxnets.cli.groups import grouped
from jaxnets.cli.seeds import train_all
from jaxnets.errors import UserError


@grouped(
    data="dataset data_dir size keys classes validation validate_every augment fill",
    network="model dtype start head_only",
    training="recipe epochs batch_size optimizer learning_rate schedule weight_decay clip ema accumulate "
    "loss label_smoothing best early_stopping seed seeds",
    run="workdir tensorboard profile quiet print_config",
    devices="devices sharding distributed",
)
def train(
    *,
    recipe: names.Recipe = "plain",
    model: names.Model | None = None,
    dataset: str = "digits",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    optimizer: names.TrainOptimizer | None = None,
    schedule: tuple[str, ...] | None = None,
    weight_decay: float | None = None,
    clip: float | None = None,
    ema: float | None = None,
    accumulate: int | None = None,
    loss: names.Loss | None = None,
    label_smoothing: float | None = None,
    dtype: Literal["float32", "bfloat16", "bf16"] | None = None,
    best: Literal["loss", "accuracy", "val_loss", "val_accuracy"] | None = None,
    early_stopping: int | None = None,
    validation: int | float | None = None,
    validate_every: int = 1,
    classes: int | None = None,
    seed: int = 0,
    seeds: tuple[int, ...] = (),
    augment: tuple[str, ...] | None = None,
    fill: Literal["nearest", "constant", "reflect", "wrap"] | None = None,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    size: tuple[int, int] | None = None,
    keys: tuple[str, str] | None = None,
    start: Path | None = None,
    head_only: bool = False,
    tensorboard: bool = False,
    profile: int = 0,
    devices: int | None = None,
    sharding: Literal["data", "fsdp"] = "data",
    distributed: str | None = None,
    quiet: bool = False,
    print_config: bool = False,
) -> list[dict[str, Any]]:
    """Train a network on a data set; the same command again continues from its last checkpoint.

    Args:
        recipe: Defaults of other options: plain, or fast (speednet, 8 epochs, Muon, crops, mirroring of
            colour images, smoothed labels).
        model: Network; the command `models` lists them. By default lenet5, in fast speednet.
        dataset: digits, iris, one made with `data prepare`, or any name that TFDS knows (mnist,
            fashion_mnist, cifar10, ...).
        epochs: Passes over the training examples in all, including those of an interrupted run. By default
            20, in fast 8.
        batch_size: Examples in a step. By default 32, in fast a 25th of them, 16 to 2,000.
        learning_rate: Learning rate of the optimizer, or the one that the schedule begins with or rises to.
            By default 0.001, in fast 0.24.
        optimizer: Optimizer, as in Keras; speed is that of the fast recipe, for speednet. By default adam, in
            fast speed.
        schedule: How the learning rate changes from update to update: exponential_decay, time_decay,
            piecewise_constant, polynomial, warmup_cosine or cosine_restarts, then its arguments as NAME=VALUE
            (warmup_cosine warmup_steps=90). By default it stays.
        weight_decay: In every update weights also fall by learning rate x this x weight, as in Keras. By
            default 0.004 for adamw, else 0.
        clip: Norm of the whole gradient to which longer ones are scaled down. By default none is.
        ema: Decay of a moving average of the weights; the average is what is evaluated and what predict,
            evaluate and export use. By default none is kept.
        accumulate: Steps whose mean gradient makes one update. By default 1.
        loss: Loss; the cross-entropies are of logits, the others of probabilities and one-hot labels. By
            default sparse_categorical_crossentropy.
        label_smoothing: Fraction of each label that is spread evenly over all classes, in training alone. By
            default 0, in fast 0.2.
        dtype: Type of the arithmetic; parameters are float32 in both. By default float32.
        best: Keep the state with the best value of this measure, which predict, evaluate and export then use.
            By default the last.
        early_stopping: Stop after so many evaluations in a row without a new best of --best, or else of
            val_loss. By default never.
        validation: Fraction or number of the training examples to hold out, as many of each class, and to
            evaluate on; the data set's own test examples are then measured once, at the end. By default these
            are evaluated on.
        validate_every: Epochs between two evaluations; the last is always evaluated.
        classes: Outputs of the network, if more than the data set has classes, for the head of a --start. By
            default one for each class.
        seed: Seed of the first parameters, the order of the examples and all other random draws.
        seeds: Several seeds: one training with each, in folders of their own; mean and spread are printed. By
            default only --seed.
        augment: Changes of the training images, each as NAME or NAME=A:B: rotation=45 shift=0.15 zoom=0.5
            shear horizontal_flip vertical_flip alternating_flip resize random_crop off_centre_crop
            random_resized_crop pad_and_crop brightness channel_shift colour_jitter cutout rand_augment mixup
            cutmix. By default none, in fast pad_and_crop=2 and mirroring.
        fill: Filling of the places that a rotated or shifted image leaves empty. By default nearest, in fast
            reflect.
        workdir: The run's folder. By default runs/MODEL-DATASET, with what differs or a number behind it if
            another run is there.
        data_dir: Folder of prepared TFDS data sets. By default that of TFDS.
        size: Height and width to scale images to, required if they differ in size. By default as they are.
        keys: Names of the input and the label among the features of a TFDS data set. By default those that it
            names itself.
        start: Source of the first parameters: the folder of another run of this model, or a Keras file. By
            default they are drawn from the seed.
        head_only: Train the last layer alone; the others stay as they are in --start.
        tensorboard: Write files for `tensorboard --logdir WORKDIR`: scalars, histograms, images and the
            graph.
        profile: Number of steps to trace, for TensorBoard or Perfetto.
        devices: Number of devices that share every batch. By default all.
        sharding: How several devices share the work: data splits batches, fsdp the parameters and the
            optimizer's memory, too.
        distributed: How to join other processes that train with this one: "auto" on Slurm or a TPU pod,
            elsewhere HOST:PORT,COUNT,INDEX with the address of process 0. By default it trains alone.
        quiet: Print only the results.
        print_config: Print all settings as JSON that --config takes, and do nothing else.
    """
    asked = dict(locals())
    if epochs is not None and epochs < 1:
        raise UserError(f"--epochs {epochs}: it must be at least 1")
    if head_only and start is None:
        raise UserError("--head-only without --start would leave the other layers at random: give both")
    from jaxnets import data, machine, metrics, plots, recipes, runs, train
    from jaxnets.cli import training
    from jaxnets.data.augment import compose_for, parse
    from jaxnets.runs.start import inputs_of
    from jaxnets.summary import summarize

    machine.set_up()
    if not print_config:
        train.join(distributed)
    say = print if train.is_writer() else lambda _: None
    tell = (lambda _: None) if quiet else say
    if seeds and not print_config:
        return train_all(seeds, seed, workdir, best, partial(_train_one, asked), say)
    # 1. data
    examples = data.load(dataset, data_dir=data_dir, size=size, keys=keys)
    part = training.split(examples, validation, seed, classes)
    asked["dtype"] = "bfloat16" if dtype == "bf16" else dtype
    chosen = {field.name: asked[field.name] for field in dataclasses.fields(recipes.Recipe)}
    plan = recipes.choose(recipe, part, **chosen)
    changes = parse(plan.augment)
    augmented = compose_for(part.features, changes, plan.fill)
    batches, held_out = data.Batches(part.train, plan.batch_size, seed), data.Batches(part.test, 256)
    # 2. network
    network = runs.make_model(plan.model, part.features, **runs.DTYPES[plan.dtype])
    # 3. optimizer and loss: targets are proportions where augmentation mixes labels
    mixed = any(change.mix for change in changes)
    count = len(part.features.classes)
    objective = runs.make_loss(plan.loss, count, plan.label_smoothing, mixed=mixed)
    accuracy = metrics.categorical_accuracy if mixed else metrics.accuracy
    descent, rate = plan.descent(plan.epochs * batches.steps_per_epoch)
    learner, descent = training.freeze(network, descent, part.features.shape, head_only)
    resolved = asked | dataclasses.asdict(plan)
    if print_config:
        say(settings.to_json({key: resolved[key] for key in resolved if key not in training.NOT_RESOLVED}))
        return []
    # 4. fit
    mesh = train.make_mesh(devices, sharding)
    inputs = inputs_of(start, plan.model) if start else "unit"
    state = train.make_state(learner, descent, part.features.shape, seed)
    found = training.first_variables(plan, part, start, state.variables, inputs)
    state = train.make_state(learner, descent, part.features.shape, seed, found)
    config = runs.describe(plan.model, examples, inputs) | training.noted(resolved)
    workdir = runs.open_folder(workdir, f"{plan.model}-{dataset}", config)
    tell(f"{len(part.train):,} examples of {dataset}, {len(part.test):,} held out; {workdir}")
    tell((layers := summarize(network, part.features.shape)).to_text())
    callbacks: list[train.Callback] = [train.RecordLearningRate(rate)]
    callbacks += [train.TensorBoard(workdir / "tensorboard", graph=layers)] if tensorboard else []
    callbacks += [train.Profile(workdir / "profile", profile)] if profile else []
    callbacks += [train.EarlyStopping(best or "val_loss", early_stopping)] if early_stopping else []
    judge = train.make_eval_step(
        network, loss=runs.make_loss(plan.loss, count), preprocess=runs.INPUTS[inputs]
    )
    evaluated = None if plan.ema is None else training.averaged
    state, history = train.fit(
        state,
        train.make_train_step(
            learner,
            descent,
            loss=objective,
            metrics={"accuracy": accuracy},
            augment=augmented,
            preprocess=runs.INPUTS[inputs],
        ),
        batches,
        epochs=plan.epochs,
        validation=train.Validation(judge, held_out, every=validate_every, variables=evaluated),
        keep=train.Keep(workdir, best=best, restore_best=best is not None),
        callbacks=callbacks,
        mesh=mesh,
        quiet=quiet,
    )
    variables = evaluated(state) if evaluated else state.variables
    # 5. summary
    last = history[train.improvements(history, best)[-1] if best else -1]
    say(f"training: loss {last['loss']:.4f}, accuracy {last['accuracy']:.4f}")
    if "val_loss" in last:
        line = f"held out: loss {last['val_loss']:.4f}, accuracy {last['val_accuracy']:.4f}"
        say(f"{line}, epoch {last['epoch']}")
    if validation is not None:
        tested = training.measure(judge, variables, examples, mesh)
        say(f"test: loss {tested['loss']:.4f}, accuracy {tested['accuracy']:.4f}")
        last |= {f"test_{name}": value for name, value in tested.items()}
    # 6. pictures
    variables = train.to_host(variables)
    if train.is_writer():
        plots.curves(history, workdir / "curves.png")
        pictured = training.with_classes(examples, part.features)
        command = runs.save_pictures(workdir, pictured, network, variables, runs.INPUTS[inputs])
        tell(f"curves, metrics and checkpoints are in {workdir}; try next")
        tell(f"  {command}")
    return history


def _train_one(asked: dict[str, Any], seed: int, workdir: Path | None) -> list[dict[str, Any]]:
    """Trains as asked, with one of its seeds; this process has joined the others already."""
    return train(**{**asked, "seeds": (), "distributed": None, "seed": seed, "workdir": workdir})
