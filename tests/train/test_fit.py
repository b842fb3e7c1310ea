"""The loop: its numbers beside a NumPy loop, and exact continuation."""

import json

import jax
import numpy as np
import optax
import pytest

from jaxnets.data import ArraySource, Batches, epoch_order
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.train import (
    Callback,
    EarlyStopping,
    Keep,
    ReduceOnPlateau,
    Validation,
    fit,
    make_eval_step,
    make_state,
    make_train_step,
    read_metrics,
)
from tests.rounding import ROUNDING, assert_close

RATE, BATCH = 0.1, 8


def run(source, epochs, workdir=None, *, every=1, best=None, **more):
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    return fit(
        make_state(model, descent, (4,)),
        make_train_step(model, descent),
        Batches(source, BATCH, seed=3),
        epochs=epochs,
        validation=Validation(make_eval_step(model), Batches(source, BATCH), every),
        keep=Keep(workdir, best=best),
        **more,
    )


def calling(**functions):
    """A callback whose methods are these functions."""
    methods = {name: lambda _, *seen, call=call: call(*seen) for name, call in functions.items()}
    return type("Calling", (Callback,), methods)()


def measure(x, y, kernel, bias):
    logits = x @ kernel + bias
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return log_p, -log_p[np.arange(len(y)), y], log_p.argmax(-1) == y


def test_three_epochs_are_what_numpy_says(source):
    """Every example counts once: 21 examples in batches of 8 end with a batch of 5."""
    state = make_state(MODELS["perceptron"](), optax.sgd(RATE), (4,))
    kernel, bias = (np.float64(state.params["head"][name]) for name in ("kernel", "bias"))
    expected = []
    for epoch in range(3):
        losses, rights = [], []
        order = epoch_order(21, 3, epoch)
        for start in range(0, 21, BATCH):
            rows = order[start : start + BATCH]
            x, y = source.x[rows], source.y[rows]
            log_p, loss, right = measure(x, y, kernel, bias)
            losses.extend(loss)
            rights.extend(right)
            error = (np.exp(log_p) - np.eye(3)[y]) / len(rows)
            kernel, bias = kernel - RATE * x.T @ error, bias - RATE * error.sum(0)
        _, loss, right = measure(source.x, source.y, kernel, bias)
        expected.append([np.mean(losses), np.mean(rights), loss.mean(), right.mean()])

    state, history = run(source, 3)
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    np.testing.assert_allclose([[r[name] for name in names] for r in history], expected, rtol=1e-5)
    np.testing.assert_allclose(state.params["head"]["kernel"], kernel, rtol=1e-5)
    assert [(record["epoch"], record["step"]) for record in history] == [(1, 3), (2, 6), (3, 9)]


def same_bits(one, other):
    return all(
        np.array_equal(np.asarray(a), np.asarray(b))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_a_continued_run_ends_with_the_bits_of_an_unbroken_one(source, tmp_path):
    unbroken, history = run(source, 5)
    run(source, 2, tmp_path)
    continued, records = run(source, 5, tmp_path)
    assert same_bits(unbroken, continued)
    assert [record["val_loss"] for record in records] == [record["val_loss"] for record in history]
    assert read_metrics(tmp_path / "metrics.jsonl") == records
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5]


def test_lines_written_after_the_last_checkpoint_are_not_doubled(source, tmp_path):
    run(source, 2, tmp_path)
    log = tmp_path / "metrics.jsonl"
    with log.open("a") as file:
        file.write(json.dumps({"epoch": 3, "loss": 9.9}) + '\n{"epoch": 4, "lo')  # killed while writing
    _, records = run(source, 4, tmp_path)
    assert [record["epoch"] for record in read_metrics(log)] == [1, 2, 3, 4]
    assert records[2]["loss"] < 9


def test_a_run_that_is_done_changes_nothing(source, tmp_path):
    first, _ = run(source, 2, tmp_path)
    again, records = run(source, 2, tmp_path)
    assert same_bits(first, again)
    assert len(records) == 2


def test_a_trained_state_goes_on_without_a_folder(source):
    unbroken, history = run(source, 5)
    state, first = run(source, 2)
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    step, batches = make_train_step(model, descent), Batches(source, BATCH, seed=3)
    continued, second = fit(state, step, batches, epochs=5)
    assert same_bits(unbroken, continued)
    losses = [(record["epoch"], record["loss"]) for record in first + second]
    assert losses == [(record["epoch"], record["loss"]) for record in history]
    with pytest.raises(UserError, match="5 epochs: it must be more than the 5 that the state has done"):
        fit(continued, step, batches, epochs=5)


def test_a_continued_run_compiles_its_step_once(source, tmp_path, caplog):
    run(source, 1, tmp_path)
    with jax.log_compiles(True):
        run(source, 4, tmp_path)
    compiled = [line for line in caplog.messages if line.startswith("Compiling jit(train_steps)")]
    assert len(compiled) == 1


def test_epochs_of_another_length_are_refused(source, tmp_path):
    run(source, 4, tmp_path)
    with pytest.raises(UserError, match="step 12 after 4 epochs does not fit epochs of 2 steps"):
        run(source, 8, tmp_path, steps_per_epoch=2)


def test_a_measure_that_is_not_there_cannot_be_the_best(source):
    with pytest.raises(UserError, match="'val_lose' is not measured; these are: loss, accuracy, val_loss"):
        run(source, 2, best="val_lose")


def test_variables_to_start_from_stay_valid(source):
    variables = MODELS["perceptron"]().init(jax.random.key(0), np.zeros((1, 4)))
    model, descent = MODELS["perceptron"](), optax.sgd(RATE)
    state = make_state(model, descent, (4,), variables=variables)
    fit(state, make_train_step(model, descent), Batches(source, BATCH, seed=3), epochs=1)
    assert np.isfinite(np.asarray(variables["params"]["head"]["kernel"])).all()


def test_wrong_epochs_are_one_sentence(source):
    with pytest.raises(UserError, match="epochs 0: it must be a whole number, at least 1"):
        run(source, 0)


def test_steps_per_epoch_and_validation_frequency_only_change_the_records(source):
    plain, history = run(source, 4)  # 4 epochs of 3 steps, which are one program
    state, records = run(source, 6, steps_per_epoch=2, every=3)
    assert_close(state, plain, roundings=12 * BATCH)
    assert [record["step"] for record in records] == [2, 4, 6, 8, 10, 12]
    assert ["val_loss" in record for record in records] == [False, False, True, False, False, True]
    for here, there in ((records[2], history[1]), (records[5], history[3])):
        assert here["val_loss"] == pytest.approx(there["val_loss"], rel=12 * BATCH * ROUNDING)


def test_early_stopping_restores_the_best_and_goes_on_exactly(source, tmp_path):
    """Judged by labels that have nothing to do with the inputs, a network soon gets worse as it learns."""
    model, descent = MODELS["perceptron"](), optax.sgd(0.3)
    noise = ArraySource(source.x, np.random.default_rng(5).integers(0, 3, 21), source.features.classes)

    def wild(epochs, workdir=None):
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            Batches(source, BATCH, seed=3),
            epochs=epochs,
            validation=Validation(make_eval_step(model), Batches(noise, BATCH)),
            keep=Keep(workdir, best="val_loss", restore_best=True),
            callbacks=[EarlyStopping("val_loss", patience=3)],
        )

    state, history = wild(40)
    values = [record["val_loss"] for record in history]
    best = int(np.argmin(values))
    assert len(history) == best + 1 + 3  # three epochs in vain
    again, _ = fit(
        make_state(model, descent, (4,)),
        make_train_step(model, descent),
        Batches(source, BATCH, seed=3),
        epochs=best + 1,
    )
    assert same_bits(state.variables, again.variables)

    for epochs in (1, 2, best + 2, 40):  # stopped and continued, on the disk
        resumed, records = wild(epochs, tmp_path)
    assert same_bits(resumed.variables, state.variables)
    assert [record["val_loss"] for record in records] == values


@pytest.mark.parametrize("workdir", [False, True])
def test_a_rate_reduced_on_a_plateau_is_continued_exactly(source, tmp_path, workdir):
    descent = optax.inject_hyperparams(optax.sgd)(learning_rate=1e-6)  # so small that nothing improves
    model = MODELS["perceptron"]()

    def slow(epochs, workdir):
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            Batches(source, BATCH, seed=3),
            epochs=epochs,
            keep=Keep(workdir),
            callbacks=[ReduceOnPlateau("loss", factor=0.5, patience=2)],
        )[0]

    if workdir:
        slow(3, tmp_path)
    state = slow(6, tmp_path if workdir else None)
    # the first epoch is the best: reduced after epochs 3 and 5
    assert float(state.opt_state.hyperparams["learning_rate"]) == pytest.approx(1e-6 / 4)


def test_callbacks_come_at_their_moments(source):
    seen = []
    moments = ("train_begin", "epoch_begin", "step_end", "epoch_end", "train_end")
    methods = {
        f"on_{moment}": lambda state, _, moment=moment: seen.append((moment, int(state.step)))
        for moment in moments
    }
    run(source, 2, steps_per_call=1, callbacks=[calling(**methods)])
    one = [("epoch_begin", 0), ("step_end", 1), ("step_end", 2), ("step_end", 3), ("epoch_end", 3)]
    two = [("epoch_begin", 3), ("step_end", 4), ("step_end", 5), ("step_end", 6), ("epoch_end", 6)]
    assert seen == [("train_begin", 0), *one, *two, ("train_end", 6)]


def test_a_run_that_is_finished_says_why_when_it_is_given_again(source, tmp_path, capsys):
    run(source, 2, tmp_path)
    capsys.readouterr()
    for epochs in (2, 1):
        _, records = run(source, epochs, tmp_path)
        assert len(records) == 2
        assert (
            f"{tmp_path} is finished: all its 2 epochs are done. To go on ask for" in capsys.readouterr().err
        )
    for _ in range(2):
        three = calling(should_stop=lambda records: len(records) == 3)
        _, records = run(source, 9, tmp_path, callbacks=[three])
    assert len(records) == 3
    said = capsys.readouterr().err
    assert said.count("is finished") == 1
    assert f"{tmp_path} is finished: its own rule ended it after 3 of 9 epochs. To start anew," in said
    run(source, 4, tmp_path)
    assert "is finished" not in capsys.readouterr().err
