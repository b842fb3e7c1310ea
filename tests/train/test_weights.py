"""Weights of examples, positions and classes beside Keras's own training."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from flax import linen

from jaxnets import losses, metrics
from jaxnets.data import ArraySource, Batches
from jaxnets.errors import UserError
from jaxnets.nn import Dense
from jaxnets.train import (
    TrainState,
    Validation,
    fit,
    fit_compiled,
    make_eval_step,
    make_state,
    make_train_step,
    means,
)

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(10, 5, 3)).astype(np.float32), rng.integers(0, 4, (10, 5), dtype=np.int32)
EXAMPLES = rng.uniform(0, 2, 10).astype(np.float32)
POSITIONS = rng.uniform(0, 2, (10, 5)).astype(np.float32)
KERNEL, BIAS = rng.normal(size=(3, 4)).astype(np.float32), np.zeros(4, np.float32)
CLASSES = {np.int64(0): 0.5, 2: 3.0}  # scikit-learn counts in NumPy's numbers; 1 and 3 are left out


@pytest.fixture(autouse=True)
def keras_broadcasts():
    with jax.numpy_rank_promotion("allow"):
        yield


class Net(linen.Module):
    """A dense layer at every position, as Keras's on (batch, time, features)."""

    @linen.compact
    def __call__(self, x, train=False):
        return Dense(4, name="dense")(x)


def ours(batch, x=X, **options):
    """The weights after one step, and its means."""
    model, optimizer = Net(), optax.sgd(0.5)
    state = make_state(model, optimizer, x.shape[1:])
    params = {"dense": {"kernel": jnp.asarray(KERNEL), "bias": jnp.asarray(BIAS)}}
    state = TrainState(state.step, params, state.model_state, state.opt_state, state.key)
    state, sums = jax.jit(make_train_step(model, optimizer, **options))(state, batch)
    return state.params["dense"], means(sums)


def theirs(x, y, loss=None, weighted_metrics=None, **options):
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(4)])
    model.set_weights([KERNEL, BIAS])
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, weighted_metrics=weighted_metrics, run_eagerly=True)
    logs = model.train_on_batch(x, y, return_dict=True, **options)
    return dict(zip(("kernel", "bias"), model.get_weights(), strict=True)), logs


def assert_same(ours, theirs):
    (params, found), (expected, logs) = ours, theirs
    for name, value in expected.items():
        np.testing.assert_allclose(params[name], value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["loss"], logs["loss"], rtol=1e-5)


@pytest.mark.parametrize("weights", [EXAMPLES, POSITIONS], ids=["examples", "positions"])
def test_weights_in_a_batch_equal_keras_sample_weight(weights):
    """With two rows of padding, which hold something else."""
    padded = {"x": X, "y": Y, "weights": weights}
    padded = {key: np.concatenate([rows, rows[:2]]) for key, rows in padded.items()}
    padded["x"][10:] = 7
    padded["mask"] = np.float32(np.arange(12) < 10)
    given = np.repeat(weights[:, None], 5, axis=1) if weights.ndim == 1 else weights
    assert_same(ours(padded, metrics={}), theirs(X, Y, sample_weight=given))


def test_class_weights_equal_keras_and_multiply_those_of_examples():
    x, y = X[:, 0], Y[:, 0]
    loss = losses.class_weighted(losses.sparse_categorical_crossentropy, CLASSES)
    assert_same(
        ours({"x": x, "y": y}, x, loss=loss),
        theirs(x, y, class_weight={int(k): v for k, v in CLASSES.items()}),
    )
    one_hot = np.eye(4, dtype=np.float32)[y]
    loss = losses.class_weighted(losses.categorical_crossentropy, CLASSES)
    crossentropy = keras.losses.CategoricalCrossentropy(from_logits=True)
    expected = theirs(x, one_hot, crossentropy, class_weight={int(k): v for k, v in CLASSES.items()})
    assert_same(ours({"x": x, "y": one_hot}, x, loss=loss, metrics={}), expected)
    of_classes = np.array([CLASSES.get(label, 1) for label in y.tolist()], np.float32)
    loss = losses.class_weighted(losses.sparse_categorical_crossentropy, [0.5, 1.0, 3.0, 1.0])
    expected = theirs(x, y, sample_weight=EXAMPLES * of_classes)
    assert_same(ours({"x": x, "y": y, "weights": EXAMPLES}, x, loss=loss), expected)


def test_class_weights_of_positions_and_of_a_binary_loss():
    of_classes = np.array([0.5, 1, 3, 1], np.float32)[Y]
    loss = losses.class_weighted(losses.sparse_categorical_crossentropy, CLASSES)
    assert_same(ours({"x": X, "y": Y}, loss=loss, metrics={}), theirs(X, Y, sample_weight=of_classes))
    loss = losses.class_weighted(losses.binary_crossentropy, {1: 3.0})
    outputs, targets = jnp.zeros((2, 1)), jnp.array([[0.0], [1.0]])
    np.testing.assert_allclose(loss(outputs, targets), np.log(2) * np.array([1, 3]), rtol=1e-6)
    np.testing.assert_allclose(loss(outputs[:, 0], targets[:, 0]), np.log(2) * np.array([1, 3]), rtol=1e-6)


def test_the_mean_over_weights_and_ignored_labels_equal_keras():
    crossentropy = keras.losses.SparseCategoricalCrossentropy
    expected = theirs(X, Y, crossentropy(True, reduction="mean_with_sample_weight"), sample_weight=POSITIONS)
    batch = {"x": X, "y": Y, "weights": POSITIONS}
    assert_same(ours(batch, metrics={}, reduction="mean_with_sample_weight"), expected)
    loss = losses.ignore_class(losses.sparse_categorical_crossentropy, 2)
    expected = theirs(X, Y, crossentropy(True, ignore_class=2))
    assert_same(ours({"x": X, "y": Y}, loss=loss, metrics={}), expected)


def test_weighted_metrics_equal_keras():
    x, y = X[:, 0], Y[:, 0]
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    _, logs = theirs(x, y, weighted_metrics=[accuracy], sample_weight=EXAMPLES)
    chosen = {"weighted": metrics.accuracy, "recall": metrics.recall}
    batch = {"x": x, "y": y, "weights": EXAMPLES}
    _, found = ours(batch, x, weighted_metrics=chosen, metrics={})
    np.testing.assert_allclose(found["weighted"], logs["accuracy"], rtol=1e-6)
    np.testing.assert_allclose(found["recall"], logs["accuracy"], rtol=1e-6)  # of all classes: the same


@pytest.mark.parametrize("train", [fit, fit_compiled])
@pytest.mark.slow
def test_a_training_with_weights_and_totals(train):
    """An epoch of unequal batches equals Keras's `fit`; counts of all batches are divided once."""
    source = ArraySource(X[:, 0], Y[:, 0], weights=EXAMPLES)
    model, optimizer = Net(), optax.sgd(0.5)
    state = make_state(model, optimizer, (3,))
    params = {"dense": {"kernel": jnp.asarray(KERNEL), "bias": jnp.asarray(BIAS)}}
    state = TrainState(state.step, params, state.model_state, state.opt_state, state.key)
    options = {"metrics": {"f1": lambda z, y: metrics.f1_score(z, y, average="macro")}}
    state, history = train(
        state,
        make_train_step(model, optimizer, **options),
        Batches(source, 4, seed=None),
        epochs=1,
        validation=Validation(make_eval_step(model, **options), Batches(source, 4, seed=None)),
    )
    keras_model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    keras_model.set_weights([KERNEL, BIAS])
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    keras_model.compile(keras.optimizers.SGD(0.5), crossentropy, run_eagerly=True)
    x, y = X[:, 0], Y[:, 0]
    fitted = keras_model.fit(x, y, 4, sample_weight=EXAMPLES, shuffle=False, verbose=0)
    np.testing.assert_allclose(history[0]["loss"], fitted.history["loss"][0], rtol=1e-5)
    score = keras.metrics.F1Score("macro")
    logits = keras_model.predict(x, verbose=0)
    score.update_state(np.eye(4, dtype=np.float32)[y], logits)
    np.testing.assert_allclose(history[0]["val_f1"], score.result(), rtol=1e-5)
    np.testing.assert_allclose(
        history[0]["val_loss"], keras_model.evaluate(x, y, sample_weight=EXAMPLES, verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize(
    "options, batch, message",
    [
        ({"reduction": "sum"}, {}, "reduction 'sum' of a step"),
        ({"metrics": {"loss": metrics.accuracy}}, {}, "a metric called 'loss'"),
        ({"loss": losses.ctc}, {"weights": POSITIONS}, "one weight per example"),
        ({"weighted_metrics": {"a": metrics.accuracy}}, {"weights": POSITIONS}, "needs one per example"),
        ({}, {"weights": np.ones((10, 4), np.float32)}, "do not fit values of shape"),
    ],
)
def test_what_does_not_fit_is_named(options, batch, message):
    with pytest.raises(UserError, match=message):
        ours({"x": X, "y": Y} | batch, **{"metrics": {}, **options})
