"""jaxnets train: every option does in training what NumPy does in float64, and in files what it does here."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

from jaxnets import data, models, optim, recipes, runs, schedules, train
from jaxnets.cli import names
from jaxnets.cli.train import train as command
from jaxnets.cli.training import split, with_classes
from jaxnets.errors import UserError
from jaxnets.runs import save_pictures
from jaxnets.runs.loss import LOSSES, make_loss

SGD = {"model": "perceptron", "dataset": "iris", "optimizer": "sgd", "devices": 1}


def softmax(logits):
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def crossentropy(logits, targets):
    """Values and their gradients by the logits, per example."""
    chances = softmax(logits)
    return -(targets * np.log(chances)).sum(-1), chances - targets


def squared(logits, targets):
    chances = softmax(logits)
    upstream = 2 * (chances - targets) / 3
    inner = (upstream * chances).sum(-1, keepdims=True)
    return np.square(chances - targets).mean(-1), chances * (upstream - inner)


def binary(logits, targets):
    chances = 1 / (1 + np.exp(-logits))
    values = -(targets * np.log(chances) + (1 - targets) * np.log(1 - chances)).mean(-1)
    return values, (chances - targets) / 3


def by_numpy(
    *, epochs, rate, loss, smoothing=0.0, decay=0.0, clip=np.inf, accumulate=1, ema=None, seed=0, batch=32
):
    """Softmax regression of iris by SGD in float64: kernel, bias, their averages and the loss on the test."""
    iris = data.load("iris")
    fresh = train.make_state(models.MODELS["perceptron"](), optax.sgd(0.1), (4,), seed).params["head"]
    weights = np.concatenate([np.float64(fresh["kernel"]), np.float64(fresh["bias"])[None]])
    averages, gathered, updates = weights, [], 0
    for epoch in range(epochs):
        plan = data.Batches(iris.train, batch, seed).plan(epoch)
        for rows, mask in zip(plan["index"], plan["mask"], strict=True):
            rows = rows[mask > 0]
            x = np.pad(np.float64(iris.train.x[rows]), ((0, 0), (0, 1)), constant_values=1)
            targets = np.eye(3)[iris.train.y[rows]] * (1 - smoothing) + smoothing / 3
            gathered.append(x.T @ loss(x @ weights, targets)[1] / len(rows))
            if len(gathered) == accumulate:
                grads, gathered = np.mean(gathered, 0), []
                grads *= min(1, clip / np.sqrt(np.square(grads).sum()))
                weights = weights - rate(updates) * (grads + decay * weights)
                keep = ema if ema is not None and updates else 0
                averages, updates = keep * averages + (1 - keep) * weights, updates + 1
    x = np.pad(np.float64(iris.test.x), ((0, 0), (0, 1)), constant_values=1)
    return averages, loss(x @ averages, np.eye(3)[iris.test.y])[0].mean()


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take longer than these trainings."""
    monkeypatch.setattr("jaxnets.plots.curves", lambda *_, **__: None)
    monkeypatch.setattr("jaxnets.runs.save_pictures", lambda *_: "")


CASES = {
    "everything": (
        {
            "schedule": ("warmup_cosine", "warmup_steps=3", "final_fraction=0.1"),
            "learning_rate": 0.3,
            "weight_decay": 0.05,
            "clip": 0.4,
            "accumulate": 3,
            "label_smoothing": 0.1,
            "ema": 0.8,
        },
        # 120 examples in batches of 32 are 4 steps an epoch, and 16 in all 5 updates: 3 and 2 for the decay
        {
            "rate": lambda n: (
                0.3 * n / 3 if n < 3 else 0.3 * (0.9 * (1 + np.cos(np.pi * min(n - 3, 2) / 2)) / 2 + 0.1)
            ),
            "loss": crossentropy,
            "smoothing": 0.1,
            "decay": 0.05,
            "clip": 0.4,
            "accumulate": 3,
            "ema": 0.8,
        },
    ),
    "a loss of probabilities": (
        {
            "schedule": ("piecewise_constant", "boundaries=4,8", "values=0.5,0.2,0.1"),
            "loss": "mean_squared_error",
            "batch_size": 40,
            "seed": 3,
        },
        {
            "rate": lambda n: 0.5 if n <= 4 else 0.2 if n <= 8 else 0.1,
            "loss": squared,
            "batch": 40,
            "seed": 3,
        },
    ),
    "a loss of logits": (
        {
            "schedule": ("exponential_decay", "decay_rate=0.5", "decay_steps=4", "staircase=true"),
            "learning_rate": 0.4,
            "loss": "binary_crossentropy",
        },
        {"rate": lambda n: 0.4 * 0.5 ** (n // 4), "loss": binary},
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        "everything",
        "a loss of probabilities",
        pytest.param("a loss of logits", marks=pytest.mark.slow),
    ],
)
@pytest.mark.sampled(2)
def test_a_training_is_that_of_numpy(name, tmp_path, run):
    options, meant = CASES[name]
    history = command(**SGD | options, epochs=4, workdir=tmp_path / "run", quiet=True)
    weights, loss = by_numpy(epochs=4, **meant)
    found = runs.load_run(tmp_path / "run")
    assert len(data.load("iris").train) == 120
    head = found.variables["params"]["head"]
    np.testing.assert_allclose(
        np.concatenate([head["kernel"], head["bias"][None]]), weights, rtol=1e-4, atol=1e-5
    )
    every = meant.get("accumulate", 1)
    for record in history:
        assert record["learning_rate"] == pytest.approx(meant["rate"](record["step"] // every), rel=1e-5)
    assert history[-1]["val_loss"] == pytest.approx(loss, rel=1e-4)
    code, out, _ = run("evaluate", tmp_path / "run", "--json")
    assert (code, json.loads(out)["loss"]) == (0, pytest.approx(loss, rel=1e-4))
    config = found.config
    assert {key: config[key] for key in options if key != "schedule"} == {
        key: value for key, value in options.items() if key != "schedule"
    }


def steps_of(optimizer, params, count=4):
    """What an optimizer makes of a few random gradients."""
    rng, state = np.random.default_rng(0), optimizer.init(params)
    for _ in range(count):
        grads = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), params)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", ["sgdm", "adam", "adamw"])
def test_weight_decay_is_that_of_keras(name):
    make = {"sgdm": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[
        name
    ]
    more = {"momentum": 0.9} if name == "sgdm" else {}
    theirs = make(learning_rate=0.1, weight_decay=0.3, **more)
    start = np.float32([[1.0, -2.0], [0.5, 3.0]])
    ours, _ = recipes.Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.3).descent(4)
    variable = keras.Variable(start)
    rng = np.random.default_rng(0)
    for _ in range(4):
        theirs.apply([jnp.asarray(rng.normal(size=start.shape), jnp.float32)], [variable])
    found = steps_of(ours, jnp.asarray(start))
    np.testing.assert_allclose(found, np.asarray(variable.value), rtol=1e-5, atol=1e-6)


def test_without_options_the_optimizer_is_the_plain_one():
    """To the structure of its state: checkpoints of earlier versions fit."""
    ours, rate = recipes.Recipe().descent(10)
    params = {"kernel": jnp.ones((2, 3))}
    assert rate == 1e-3
    plain = optim.OPTIMIZERS["adam"](1e-3)
    assert jax.tree.structure(ours.init(params)) == jax.tree.structure(plain.init(params))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("mixed", [False, True])
def test_losses_are_those_of_keras(name, mixed):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 5)
    targets = (
        rng.dirichlet(np.ones(4), 5).astype(np.float32) if mixed else np.eye(4, dtype=np.float32)[labels]
    )
    function = getattr(keras.losses, name)
    more = {"from_logits": True} if "crossentropy" in name else {}
    expected = function(targets, logits if more else np.float32(softmax(logits)), **more)
    found = make_loss(name, 4, mixed=mixed)(jnp.asarray(logits), jnp.asarray(targets if mixed else labels))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_best_state_is_kept_on_examples_held_out_of_the_training_ones(tmp_path, run, capsys):
    """Of each class alike; the data set's own test examples are measured at the end."""
    asked = SGD | {"learning_rate": 1.5, "best": "val_loss", "early_stopping": 2, "validation": 0.25}
    history = command(**asked, epochs=60, validate_every=2, workdir=tmp_path / "run")
    printed = capsys.readouterr().out
    assert "90 examples of iris, 30 held out" in printed
    judged = [record for record in history if "val_loss" in record]
    assert [record["epoch"] for record in judged] == [*range(2, len(history) + 1, 2)]
    losses = [record["val_loss"] for record in judged]
    best = int(np.argmin(losses))
    assert len(history) < 60
    assert len(judged) - 1 - best == 2  # two evaluations later it stops
    assert f"held out: loss {losses[best]:.4f}" in printed
    iris = data.load("iris")
    _, held_out = data.split(iris.train, 0.25, seed=0, stratify=True)
    assert np.abs(np.bincount(held_out.y) - np.bincount(iris.train.y) / 4).max() < 1
    found = runs.load_run(tmp_path / "run")
    for source, loss in ((held_out, losses[best]), (iris.test, None)):
        chances = np.float64(found.probabilities(source.x))
        measured = -np.log(chances[np.arange(len(source.y)), source.y]).mean()
        assert measured == pytest.approx(loss or measured, rel=1e-4)
    assert f"test: loss {measured:.4f}"[:-1] in printed
    _, out, _ = run("evaluate", tmp_path / "run", "--json")
    assert json.loads(out)["loss"] == pytest.approx(measured, rel=1e-4)
    with pytest.raises(UserError, match=r"holds a run with validation 0\.25, not 0\.3"):
        command(**asked | {"validation": 0.3}, epochs=60, validate_every=2, workdir=tmp_path / "run")


def test_only_the_head_learns_and_only_it_is_averaged(tmp_path, workdir):
    start = runs.load_run(workdir).variables["params"]
    asked = {"model": "mlp", "optimizer": "sgd", "learning_rate": 0.1, "ema": 0.5, "head_only": True}
    command(**asked, epochs=1, devices=1, start=workdir, workdir=tmp_path / "run")
    found = runs.load_run(tmp_path / "run").variables["params"]
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(found["dense1"][name], start["dense1"][name])
        assert np.abs(found["head"][name] - start["head"][name]).max() > 0
    # In NumPy: a softmax regression of the frozen layer's outputs.
    digits = data.load("digits")
    head = {name: np.float64(value) for name, value in start["head"].items()}
    average = None
    plan = data.Batches(digits.train, 32, 0).plan(0)
    for rows, mask in zip(plan["index"], plan["mask"], strict=True):
        x = np.float64(digits.train.x[rows[mask > 0]]).reshape(int(mask.sum()), -1) / 255
        x = np.maximum(x @ np.float64(start["dense1"]["kernel"]) + np.float64(start["dense1"]["bias"]), 0)
        error = softmax(x @ head["kernel"] + head["bias"]) - np.eye(10)[digits.train.y[rows[mask > 0]]]
        head["kernel"] = head["kernel"] - 0.1 * x.T @ error / len(x)
        head["bias"] = head["bias"] - 0.1 * error.mean(0)
        average = {k: v if average is None else (average[k] + v) / 2 for k, v in head.items()}
    for name, value in average.items():
        np.testing.assert_allclose(found["head"][name], value, rtol=1e-3, atol=1e-4)


def test_arithmetic_in_bfloat16_is_that_of_the_run_afterwards(tmp_path, run):
    history = command(**SGD, epochs=2, workdir=tmp_path / "run", dtype="bf16")
    found = runs.load_run(tmp_path / "run")
    assert found.config["dtype"] == "bfloat16"
    assert found.model.dtype == jnp.bfloat16
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found.variables)} == {"float32"}
    _, out, _ = run("evaluate", tmp_path / "run", "--json")
    assert json.loads(out)["loss"] == pytest.approx(history[-1]["val_loss"], rel=1e-2)
    x = data.load("iris").test.x
    chances = found.probabilities(x)
    assert chances.dtype == np.float32
    np.testing.assert_allclose(chances.sum(-1), 1, rtol=1e-5)
    head = found.variables["params"]["head"]
    exact = softmax(np.float64(x) @ np.float64(head["kernel"]) + np.float64(head["bias"]))
    np.testing.assert_allclose(chances, exact, atol=0.05)
    assert np.abs(chances - exact).max() > 1e-5  # float32 is closer
    assert run("export", tmp_path / "run", "--format", "stablehlo")[0] == 0


def test_a_network_may_have_more_outputs_than_the_data_set_classes(tmp_path, run):
    learned = command(**SGD | {"learning_rate": 0.1}, epochs=9, classes=5, workdir=tmp_path / "wide")
    found = runs.load_run(tmp_path / "wide")
    iris = data.load("iris")
    assert found.features.classes == (*iris.features.classes, "class 3", "class 4")
    assert found.variables["params"]["head"]["bias"].shape == (5,)
    assert run("evaluate", tmp_path / "wide")[0] == 0
    asked = SGD | {"start": tmp_path / "wide", "learning_rate": 1e-9, "epochs": 1}
    history = command(**asked, classes=5, workdir=tmp_path / "on")
    assert history[-1]["val_accuracy"] == learned[-1]["val_accuracy"]  # with the head that it had learned
    with pytest.raises(UserError, match="--classes: 2 classes: the data set has 3"):
        command(**asked, classes=2, workdir=tmp_path / "narrow")


@pytest.mark.slow
def test_pictures_name_the_outputs_that_are_no_class(tmp_path):
    digits = data.load("digits")
    few = data.Dataset("digits", digits.train, data.Subset(digits.test, np.arange(40)))
    part = with_classes(few, runs.with_outputs(digits.features, 11))
    network = models.MODELS["perceptron"](num_classes=11)
    bias = jnp.zeros(11).at[10].set(9)  # it takes everything for the eleventh
    variables = {"params": {"head": {"kernel": jnp.zeros((784, 11)), "bias": bias}}}
    save_pictures(tmp_path, part, network, variables)
    assert {"predictions.png", "confusion.png", "mistakes.png"} <= {path.name for path in tmp_path.iterdir()}


def test_wider_data_sets_keep_their_examples():
    digits = data.load("digits")
    part = with_classes(digits, runs.with_outputs(digits.features, 11))
    assert part.test.features.classes[10] == "class 10"
    np.testing.assert_array_equal(part.train[np.arange(5)]["x"], digits.train.x[:5])
    part = split(digits, 38, 0, None)
    assert (len(part.train), len(part.test)) == (1400, 38)


CONTINUED = {
    "model": "perceptron",
    "dataset": "iris",
    "schedule": ("warmup_cosine", "decay_steps=20"),
    "weight_decay": 0.01,
    "clip": 1.0,
    "ema": 0.9,
    "accumulate": 3,
    "loss": "huber",
    "dtype": "bfloat16",
    "best": "val_accuracy",
    "validation": 0.2,
    "devices": 1,
}


@pytest.mark.slow
def test_a_run_that_is_continued_ends_with_the_same_bits(tmp_path):
    """Though an update takes steps of two epochs."""
    for epochs in (1, 4):
        command(**CONTINUED, epochs=epochs, workdir=tmp_path / "two")
    command(**CONTINUED, epochs=4, workdir=tmp_path / "one")
    one, two = (runs.load_run(tmp_path / name).variables for name in ("one", "two"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match=r"holds a run with ema 0\.9, not None"):
        command(**CONTINUED | {"ema": None}, epochs=4, workdir=tmp_path / "two")


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_bits(tmp_path):
    """Wherever in an epoch, and in the middle of an update."""
    options = ["--model=mlp", "--epochs=12", "--accumulate=7", "--ema=0.9", "--clip=1", "--dtype=bf16"]
    options += ["--weight-decay=0.01", "--best=val_loss", "--validation=0.2", "--schedule", "warmup_cosine"]
    call = [sys.executable, "-m", "jaxnets", "train", *options, "--workdir"]
    subprocess.run([*call, str(tmp_path / "one")], check=True, capture_output=True)
    two = tmp_path / "two"
    for kills in range(3):
        process = subprocess.Popen([*call, str(two)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(train.read_metrics(two / "metrics.jsonl")) < 3 * kills + 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*call, str(two)], check=True, capture_output=True)
    ours, theirs = (runs.load_run(tmp_path / name).variables for name in ("one", "two"))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


# The command line.


EVERYTHING = """--model mlp --epochs 3 --batch-size 50 --learning-rate 0.01 --optimizer sgdm
 --schedule warmup_cosine warmup_steps=5 --weight-decay 0.001 --clip 2 --ema 0.5 --accumulate 2 --loss huber
 --dtype bf16 --best val_loss --early-stopping 3 --validation 0.2 --validate-every 2 --classes 11 --seed 4
 --augment shift=0.1 rotation=5 --fill constant --head-only --tensorboard --profile 3 --devices 1
 --sharding fsdp --workdir here --distributed auto"""


def printed(run, *arguments):
    code, out, err = run("train", *arguments, "--print-config")
    assert code == 0, err
    return json.loads(out)


def test_what_is_printed_is_what_is_asked_for_and_can_be_given_again(run, tmp_path):
    found = printed(run, *EVERYTHING.split(), "--start", tmp_path)
    assert found | {"schedule": None} == {
        **{"model": "mlp", "dataset": "digits", "epochs": 3, "batch_size": 50, "learning_rate": 0.01},
        **{"optimizer": "sgdm", "schedule": None, "weight_decay": 0.001, "clip": 2.0, "ema": 0.5},
        **{"accumulate": 2, "loss": "huber", "label_smoothing": 0.0, "dtype": "bfloat16"},
        **{"best": "val_loss", "early_stopping": 3, "validation": 0.2, "validate_every": 2, "classes": 11},
        **{"seed": 4, "augment": ["shift=0.1", "rotation=5"], "fill": "constant", "workdir": "here"},
        **{"data_dir": None, "size": None, "keys": None, "start": str(tmp_path), "head_only": True},
        **{"tensorboard": True, "profile": 3, "devices": 1, "sharding": "fsdp", "distributed": "auto"},
    }
    # 1,438 - 288 examples are 23 batches of 50, and 69 steps 34 updates
    assert found["schedule"] == ["warmup_cosine", "warmup_steps=5", "decay_steps=29"]
    (tmp_path / "all.json").write_text(json.dumps(found))
    assert printed(run, "--config", tmp_path / "all.json") == found
    other = printed(run, f"--config={tmp_path / 'all.json'}", "--seed", "0", "--no-head-only", "--augment")
    assert other == found | {"seed": 0, "head_only": False, "augment": []}
    lines = [f"{key} = {json.dumps(value)}" for key, value in found.items() if value is not None]
    (tmp_path / "all.toml").write_text("\n".join(lines))
    assert printed(run, "--config", tmp_path / "all.toml") == found


def test_the_recipes_are_printed_as_they_are_meant(run, tmp_path):
    found = printed(run, "--recipe", "fast")
    fast = recipes.choose("fast", data.load("digits"))
    assert (found["model"], found["batch_size"], found["optimizer"]) == ("speednet", 57, "speed")
    assert found["augment"] == list(fast.augment)
    (tmp_path / "fast.json").write_text(json.dumps(found))
    assert printed(run, "--config", tmp_path / "fast.json") == found
    (tmp_path / "recipe.json").write_text('{"recipe": "fast", "epochs": 3}')
    assert printed(run, "--config", tmp_path / "recipe.json") == found | {"epochs": 3}


def test_the_settings_of_a_run_can_be_given_again(run, tmp_path):
    asked = SGD | {
        "epochs": 1,
        "schedule": ("piecewise_constant", "boundaries=2", "values=1,0.1"),
        "classes": 4,
    }
    command(**asked, workdir=tmp_path / "run")
    found = printed(run, "--config", tmp_path / "run" / "config.json")
    assert found["schedule"] == list(asked["schedule"])
    assert (found["classes"], found["learning_rate"], found["dataset"]) == (4, None, "iris")
    code, out, err = run("train", "--config", tmp_path / "run" / "config.json", "--workdir", tmp_path / "run")
    assert (code, out.startswith("120 examples of iris")) == (0, True)
    assert "is finished" in err


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"learning_rte": 1}', "unknown option 'learning_rte' (did you mean learning_rate?)"),
        ('{"config": "x"}', "unknown option 'config'"),
        ('{"epochs": "many"}', "--epochs"),
        ('{"epochs": 0}', "--epochs 0: it must be 1 to 1,000,000"),
        ('{"epochs": [1, 2]}', "epochs is [1, 2]: give one value, not a list"),
        ('{"epochs": {"a": 1}}', "epochs is {'a': 1}: give a number, a text or a list of those"),
        ('{"epochs": true}', "epochs is True: give a number"),
        ('{"learning_rate": NaN}', "--learning-rate nan: it must be a finite number"),
        ('{"head_only": 1}', "head_only is 1: it must be true or false"),
        ('{"augment": ["--seed", "1"]}', "augment holds '--seed', which is an option of its own"),
        ('{"best": "vall_loss"}', "unknown value of --best 'vall_loss' (did you mean val_loss?)"),
        ("[]", "does not hold options by name"),
        ("epochs = 3", "cannot be read as JSON (or give it the ending .toml)"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_sentence(run, tmp_path, content, message):
    (tmp_path / "options.json").write_text(content)
    code, out, err = run("train", "--config", tmp_path / "options.json")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--learning-rate -1", "--learning-rate -1.0: it must be more than 0 and at most 1,000,000"),
        ("--learning-rate 0", "--learning-rate 0.0: it must be more than 0"),
        ("--learning-rate nan", "--learning-rate nan: it must be a finite number"),
        ("--ema 1", "--ema 1.0: it must be at least 0 and less than 1"),
        ("--clip 0", "--clip 0.0: it must be more than 0"),
        ("--weight-decay -1", "--weight-decay -1.0: it must be 0 to 1,000,000"),
        ("--recipe fast --weight-decay 1", "the optimizer speed has its own"),
        ("--accumulate 901", "--accumulate 901: it must be 1 to 900, the steps of the run"),
        ("--validation 1.5", "--validation 1.5: 1.5 of 1438 examples cannot be held out"),
        ("--validation 0", "--validation 0: it must be 1 to"),
        ("--label-smoothing 0.1 --loss huber", "--label-smoothing 0.1 goes with --loss sparse_categorical"),
        ("--head-only --model perceptron --dataset iris --start .", "--head-only needs a layer called head"),
        ("--head-only", "--head-only without --start would leave the other layers at random"),
        ("--dataset iris --model perceptron --augment zoom=0.5", "there is nothing to augment"),
        ("--loss mean_squared_eror", "unknown loss 'mean_squared_eror' (did you mean mean_squared_error?)"),
        ("--fill nearst", "unknown value of --fill 'nearst' (did you mean nearest?)"),
        ("--learning-rte 3", "did you mean --learning-rate?"),
        ("--config nowhere.json", "--config nowhere.json: No such file or directory"),
    ],
)
def test_options_that_are_wrong_are_one_sentence(run, arguments, message):
    code, out, err = run("train", *arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err


@pytest.mark.parametrize(
    "words, message",
    [
        ("warmup_cosin", r"unknown schedule 'warmup_cosin' \(did you mean warmup_cosine\?\)"),
        ("warmup_cosine warmup=3", r"unknown argument of warmup_cosine 'warmup' \(did you mean warmup_steps"),
        ("warmup_cosine warmup_steps=x", "give a whole number from 0 on as warmup_steps=VALUE"),
        ("warmup_cosine start=-1", "give a number from 0 on as start=VALUE"),
        ("warmup_cosine start=1 start=2", "start is given twice"),
        ("warmup_cosine warmup_steps=100", "the run has 100 updates, which leaves no decay"),
        ("warmup_cosine decay_steps=0", "after 0 updates is nan: it must always be a number from 0 on"),
        ("exponential_decay", "missing a required argument|missing 1 required .*decay_rate"),
        ("exponential_decay decay_rate=1e30", "is inf: it must always be a number"),
        ("exponential_decay decay_rate=2 staircase=maybe", "give true or false as staircase=VALUE"),
        ("piecewise_constant boundaries=2 values=1", "boundaries must rise"),
        ("piecewise_constant boundaries=2 values=0,0", "always 0: nothing would be learned"),
    ],
)
def test_schedules_that_are_wrong_are_one_sentence(words, message):
    rate = 0.1 if schedules.SCHEDULES.get(words.split()[0]) != schedules.piecewise_constant else None
    with pytest.raises(UserError, match=message):
        schedules.parse(schedules.complete(words.split(), 100), rate, 100)


def test_a_learning_rate_beside_a_schedule_that_has_its_own_is_refused(run):
    words = ["--schedule", "piecewise_constant", "boundaries=9", "values=1,0.1"]
    code, _, err = run("train", *words, "--learning-rate", "1")
    assert (code, err.count("\n")) == (2, 1)
    assert "piecewise_constant has its own learning rates: give no other" in err


def test_the_names_in_the_help_are_those_of_the_tables():
    assert list(names.MODELS) == list(models.MODELS)
    assert list(names.OPTIMIZERS) == list(optim.OPTIMIZERS)
    assert list(names.RECIPES) == list(recipes.RECIPES)
    assert list(names.LOSSES) == list(LOSSES)


def test_the_help_says_names_and_defaults_in_groups_and_waits_for_nothing():
    code = """
import sys
from jaxnets.cli import commandline, commands
try:
    commandline.run(commands.COMMANDS, "jaxnets", ["train", "--help"])
except SystemExit:
    print("loaded:", *[name for name in ("jax", "tensorflow", "tensorflow_datasets") if name in sys.modules])
"""
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
    for group in ("data", "network", "training", "run", "devices"):
        assert f" {group} options " in done.stdout
    text = " ".join(done.stdout.replace("│", " ").split())
    for name in (*schedules.SCHEDULES, *data.augment.OPS, *models.MODELS, *LOSSES):
        assert name in text
    about = [" ".join(one.replace("│", " ").split()) for one in re.split(r"(?m)^│ --", done.stdout)[1:]]
    assert not [option for option in about if "default" not in option.lower()]
    plain, fast = recipes.RECIPES.values()
    for name in ("model", "epochs", "learning_rate", "optimizer", "label_smoothing", "fill"):
        (option,) = (one for one in about if one.startswith(f"{name.replace('_', '-')} "))
        said = [getattr(recipe, name) for recipe in (plain, fast)]
        said = [value if isinstance(value, str) else f"{value:g}" for value in said]
        assert f"default {said[0]}, in fast {said[1]}." in option


def test_completion_knows_the_names():
    command = [sys.executable, "-m", "jaxnets", "--tyro-print-completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (choices,) = re.findall(r"'--loss'.*?'choices': \[(.*?)\]", done.stdout)
    assert sorted(re.findall(r"'(\w+)'", choices)) == sorted([*LOSSES, "None"])


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_is_respected(no_color):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}
    command = [sys.executable, "-m", "jaxnets", "models", "--help"]
    subprocess.run(command, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    assert (b"\x1b[" in os.read(ours, 10_000)) == (not no_color)


def test_the_version_is_printed(run):
    import jaxnets

    assert run("--version") == (0, f"jaxnets {jaxnets.__version__}\n", "")
    assert "--version" in run("--help")[1]


def test_quiet_prints_the_results_alone(run, tmp_path):
    options = ["--model", "perceptron", "--dataset", "iris", "--epochs", "2", "--quiet", "--devices", "1"]
    code, out, err = run("train", *options, "--workdir", tmp_path / "run")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == ["training", "held out"]


def test_every_option_must_be_in_a_group():
    from jaxnets.cli.groups import grouped

    with pytest.raises(TypeError, match="every option of lost must be in one group"):

        @grouped(run="a")
        def lost(*, a: int = 1, b: int = 2) -> None:
            """Does nothing."""
