"""jaxnets.keras_like: the bits of the pure parts, in whatever form arrays come."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from jaxnets import data, losses, nn, optim, train
from jaxnets.errors import UserError
from jaxnets.keras_like import Model


class Net(linen.Module):
    """With dropout, whose draws depend on the key, and statistics."""

    outputs: int = 3

    @linen.compact
    def __call__(self, x, train=False):
        x = nn.Dropout(0.3)(linen.relu(nn.BatchNorm()(nn.Dense(8)(x), train)), train)
        return nn.Dense(self.outputs)(x)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 5)).astype(np.float32)  # the third batch of 32 has 6
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
same = lambda one, other: jax.tree.map(np.testing.assert_array_equal, one, other)  # noqa: E731


def pure(y, optimizer, epochs=2, state=None, judge=None, rows=slice(None), **how):
    """What a `Model` with seed 3 does, without it."""
    net = how.pop("net", Net())
    state = state or train.make_state(net, optimizer, (5,), 3)
    step, judging = train.make_train_step(net, optimizer, **how), train.make_eval_step(net, **how)
    held = None if judge is None else train.Validation(judging, data.Batches(data.ArraySource(*judge), 32))
    batches = data.Batches(data.ArraySource(X[rows], y[rows]), 32, seed=3)
    done = -(-int(state.step) // batches.steps_per_epoch)
    state = dataclasses.replace(state, step=jnp.int32(done * batches.steps_per_epoch))
    return train.fit(state, step, batches, epochs=done + epochs, validation=held)


def numbers(history):
    return [
        {key: value for key, value in one.items() if key in ("epoch", "step") or "loss" in key}
        for one in history
    ]


def test_class_ids_and_validation_data():
    model = Model(Net(), seed=3)
    history = model.fit(X, Y[:, None], epochs=2, validation_data=(X[:40], Y[:40]))
    state, expected = pure(Y, optim.adam(1e-3), judge=(X[:40], Y[:40]))
    same(model.state, state)
    assert numbers(history) == numbers(expected)
    assert all("val_accuracy" in one for one in history)
    probabilities = jax.nn.softmax(Net().apply(state.variables, X))
    np.testing.assert_allclose(model.predict(X), probabilities, rtol=1e-5)
    right = (probabilities.argmax(-1) == Y).mean()
    assert model.evaluate(X, Y)["accuracy"] == pytest.approx(float(right), abs=1e-6)


def test_a_second_fit_goes_on_also_with_other_batches():
    model = Model(Net(), seed=3)
    model.fit(X, Y)
    first = model.state
    model.fit(X[:40], Y[:40])  # two steps an epoch: the three taken count as two epochs
    assert int(model.state.step) == 6
    state, _ = pure(Y, optim.adam(1e-3), 1, first, rows=slice(40))
    same(model.state, state)


def test_validation_split_holds_out_the_last_as_keras_does():
    model = Model(Net(), seed=3)
    model.fit(X, Y, validation_split=0.3)
    state, _ = pure(Y, optim.adam(1e-3), 1, judge=(X[49:], Y[49:]), rows=slice(49))
    same(model.state, state)
    with pytest.raises(UserError, match="two ways"):
        model.fit(X, Y, validation_split=0.3, validation_data=(X, Y))


@pytest.mark.parametrize("kind", [int, bool, np.float64])
def test_one_hot_labels_of_any_type(kind):
    model = Model(Net(), optax.sgd(0.1), "categorical_crossentropy", metrics={}, seed=3)
    model.fit(X, np.eye(3, dtype=kind)[Y], epochs=2)
    y = np.eye(3, dtype=np.float32)[Y]
    same(model.state, pure(y, optax.sgd(0.1), loss=losses.categorical_crossentropy, metrics={})[0])


@pytest.mark.slow
def test_a_regression_and_two_classes():
    """(N,) stands for (N, 1), and probabilities are sigmoids."""
    model = Model(Net(1), "sgd", "mean_squared_error", {"mae": losses.mean_absolute_error}, seed=3)
    assert model.fit(X, X[:, 0], epochs=2)[-1]["mae"] > 0
    how = {"loss": losses.mean_squared_error, "metrics": {}, "net": Net(1)}
    same(model.state, pure(X[:, :1], optim.sgd(0.01), **how)[0])
    expected = Net(1).apply(model.state.variables, X)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-6)
    yes = Model(Net(1), loss="binary_crossentropy", seed=3)
    assert 0 <= yes.fit(X, Y > 0)[-1]["accuracy"] <= 1
    logits = Net(1).apply(yes.state.variables, X)
    np.testing.assert_allclose(yes.predict(X), jax.nn.sigmoid(logits), rtol=1e-5)
    right = ((np.asarray(logits)[:, 0] > 0) == (Y > 0)).mean()
    assert yes.evaluate(X, Y > 0)["accuracy"] == pytest.approx(float(right), abs=1e-6)


class Stop(train.Callback):
    """Ctrl-C in the second step."""

    def on_step_end(self, state, sums):
        if int(state.step) == 2:
            import signal

            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_fit_keeps_what_was_learned_and_goes_on():
    model = Model(Net(), seed=3)
    with pytest.raises(train.Interrupted):
        model.fit(X, Y, epochs=9, callbacks=[Stop()], steps_per_call=1)
    assert int(model.state.step) == 2
    assert model.fit(X, Y)[-1]["epoch"] == 2  # the epoch that was broken off is over
    assert int(model.state.step) == 6


class Two(linen.Module):
    """Two outputs of one input."""

    @linen.compact
    def __call__(self, x, train=False):
        return linen.Dense(3)(x), linen.Dense(2)(x)


def test_several_outputs_take_a_loss_of_their_own():
    model = Model(Two(), loss=lambda outputs, y: (outputs[0].sum(-1) - y) ** 2 + outputs[1].sum(-1) ** 2)
    losses = [record["loss"] for record in model.fit(X, Y, epochs=3)]
    assert losses == sorted(losses, reverse=True)
    first, second = model.predict(X, batch_size=32)
    assert (first.shape, second.shape) == ((70, 3), (70, 2))
    expected = Two().apply(model.state.variables, X)
    np.testing.assert_allclose(first, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, expected[1], rtol=1e-5, atol=1e-6)


def test_class_ids_as_floats_are_class_ids():
    one, other = Model(Net(), seed=3), Model(Net(), seed=3)
    assert numbers(one.fit(X, Y.astype(np.float64)[:, None])) == numbers(other.fit(X, Y))


def test_mistakes_are_one_sentence():
    model = Model(Net())
    for wrong, said in (
        (lambda: Model(Net(), "adamm"), "did you mean adam"),
        (lambda: Model(Net(), loss="categorical_crosentropy"), "did you mean categorical_crossentropy"),
        (lambda: Model(Net(), optax.sgd(0.1), learning_rate=0.1), "leave learning_rate out"),
        (lambda: model.fit(X, Y[:3]), "70 x, 3 y"),
        (lambda: model.fit(X, np.eye(3)[Y]), r"whole-number labels must be \(N,\)"),
        (lambda: model.fit(X, Y + 0.5), "must be whole numbers"),
        (lambda: model.fit(X, Y + 1), "labels run from 1 to 3: with 3 outputs they must be 0 to 2"),
        (lambda: model.evaluate(X, Y + 1), "labels run from 1 to 3: with 3 outputs they must be 0 to 2"),
        (lambda: model.fit(X, Y - 1), "labels run from -1 to 1: .* from 0"),
        (lambda: model.fit(X, np.array(list("abc"))[Y]), "np.unique"),
        (lambda: model.fit(X, Y, batch_size=32.0), "batch size 32.0: it must be a whole number"),
        (lambda: Model(Two()).fit(X, Y), "the network has several outputs, and sparse_categ"),
        (lambda: Model(linen.Dense(3)).fit(X, Y), "add `train: bool = False` to its arguments"),
        (lambda: model.predict(X[:, :2]), r"examples of shape \(2,\): those before had \(5,\)"),
        (lambda: model.predict(X[:0]), "at least one"),
    ):
        with pytest.raises(UserError, match=said):
            wrong()
