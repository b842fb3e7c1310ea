import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxnets import losses
from jaxnets.errors import UserError

theirs = keras.losses
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(6, 4)).astype(np.float32) * 3
LABELS = rng.integers(0, 4, 6, dtype=np.int32)
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
# Not normalized, and with certainties that must be clipped: Keras divides by the sum first.
PROBABILITIES = np.array(jax.nn.softmax(LOGITS)) * np.float32(1.7)
PROBABILITIES[0] = np.eye(4)[LABELS[0]]
PROBABILITIES[1] = np.eye(4)[(LABELS[1] + 1) % 4]
BITS = rng.integers(0, 2, (6, 4)).astype(np.float32)
SIGMOIDS = np.array(jax.nn.sigmoid(LOGITS))
SIGMOIDS[0] = BITS[0]
SIGMOIDS[1] = 1 - BITS[1]
OTHER = rng.normal(size=(6, 4)).astype(np.float32) * 3
OTHERS = np.array(jax.nn.softmax(OTHER))
SEQUENCES = rng.normal(size=(6, 9, 5)).astype(np.float32)
SPOKEN = np.where(np.arange(4) < rng.integers(0, 5, (6, 1)), rng.integers(1, 5, (6, 4)), 0).astype(np.int32)

TABLE = {
    "sparse": lambda: (
        losses.sparse_categorical_crossentropy(LOGITS, LABELS),
        theirs.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True),
    ),
    "sparse smoothed": lambda: (
        losses.sparse_categorical_crossentropy(LOGITS, LABELS, label_smoothing=0.1),
        theirs.categorical_crossentropy(ONE_HOT, LOGITS, from_logits=True, label_smoothing=0.1),
    ),
    "sparse from probabilities": lambda: (
        losses.sparse_categorical_crossentropy_from_probabilities(PROBABILITIES, LABELS),
        theirs.sparse_categorical_crossentropy(LABELS, PROBABILITIES),
    ),
    "categorical": lambda: (
        losses.categorical_crossentropy(LOGITS, ONE_HOT),
        theirs.categorical_crossentropy(ONE_HOT, LOGITS, from_logits=True),
    ),
    "categorical smoothed": lambda: (
        losses.categorical_crossentropy(LOGITS, ONE_HOT, label_smoothing=0.2),
        theirs.categorical_crossentropy(ONE_HOT, LOGITS, from_logits=True, label_smoothing=0.2),
    ),
    "categorical from probabilities": lambda: (
        losses.categorical_crossentropy_from_probabilities(PROBABILITIES, ONE_HOT, label_smoothing=0.1),
        theirs.categorical_crossentropy(ONE_HOT, PROBABILITIES, label_smoothing=0.1),
    ),
    "binary": lambda: (
        losses.binary_crossentropy(LOGITS, BITS),
        theirs.binary_crossentropy(BITS, LOGITS, from_logits=True),
    ),
    "binary, smoothed": lambda: (
        losses.binary_crossentropy(LOGITS, BITS, label_smoothing=0.2),
        theirs.binary_crossentropy(BITS, LOGITS, from_logits=True, label_smoothing=0.2),
    ),
    "binary from probabilities": lambda: (
        losses.binary_crossentropy_from_probabilities(SIGMOIDS, BITS),
        theirs.binary_crossentropy(BITS, SIGMOIDS),
    ),
    "squared": lambda: (losses.mean_squared_error(LOGITS, OTHER), theirs.mean_squared_error(OTHER, LOGITS)),
    "absolute": lambda: (
        losses.mean_absolute_error(LOGITS, OTHER),
        theirs.mean_absolute_error(OTHER, LOGITS),
    ),
    "huber": lambda: (losses.huber(LOGITS, OTHER, delta=1.5), theirs.huber(OTHER, LOGITS, delta=1.5)),
    "percentage": lambda: (
        losses.mean_absolute_percentage_error(LOGITS, OTHER),
        theirs.mean_absolute_percentage_error(OTHER, LOGITS),
    ),
    "logarithmic": lambda: (
        losses.mean_squared_logarithmic_error(LOGITS, OTHER),
        theirs.mean_squared_logarithmic_error(OTHER, LOGITS),
    ),
    "log cosh": lambda: (losses.log_cosh(LOGITS, OTHER), theirs.log_cosh(OTHER, LOGITS)),
    "poisson": lambda: (losses.poisson(SIGMOIDS, BITS), theirs.poisson(BITS, SIGMOIDS)),
    "cosine": lambda: (losses.cosine_similarity(LOGITS, OTHER), theirs.cosine_similarity(OTHER, LOGITS)),
    "hinge": lambda: (losses.hinge(LOGITS, BITS), theirs.hinge(BITS, LOGITS)),
    "hinge of signs": lambda: (losses.hinge(LOGITS, 2 * BITS - 1), theirs.hinge(2 * BITS - 1, LOGITS)),
    "squared hinge": lambda: (losses.squared_hinge(LOGITS, BITS), theirs.squared_hinge(BITS, LOGITS)),
    "categorical hinge": lambda: (
        losses.categorical_hinge(LOGITS, ONE_HOT),
        theirs.categorical_hinge(ONE_HOT, LOGITS),
    ),
    "kl": lambda: (
        losses.kl_divergence(LOGITS, OTHERS),
        theirs.kl_divergence(OTHERS, np.array(jax.nn.softmax(LOGITS))),
    ),
    "kl from probabilities": lambda: (
        losses.kl_divergence_from_probabilities(SIGMOIDS, OTHERS),
        theirs.kl_divergence(OTHERS, SIGMOIDS),
    ),
    "binary focal": lambda: (
        losses.binary_focal_crossentropy(OTHER, BITS, gamma=1.5),
        theirs.binary_focal_crossentropy(BITS, OTHER, from_logits=True, gamma=1.5),
    ),
    "binary focal, balanced, smoothed, from probabilities": lambda: (
        losses.binary_focal_crossentropy_from_probabilities(SIGMOIDS, BITS, alpha=0.3, label_smoothing=0.2),
        theirs.binary_focal_crossentropy(
            BITS, SIGMOIDS, apply_class_balancing=True, alpha=0.3, label_smoothing=0.2
        ),
    ),
    "categorical focal": lambda: (
        losses.categorical_focal_crossentropy(OTHER, ONE_HOT, gamma=1.5, label_smoothing=0.1),
        theirs.categorical_focal_crossentropy(
            ONE_HOT, OTHER, from_logits=True, gamma=1.5, label_smoothing=0.1
        ),
    ),
    "categorical focal, by class, from probabilities": lambda: (
        losses.categorical_focal_crossentropy_from_probabilities(PROBABILITIES, ONE_HOT, alpha=[1, 2, 3, 4]),
        theirs.categorical_focal_crossentropy(ONE_HOT, PROBABILITIES, alpha=[[1.0, 2, 3, 4]]),
    ),
    "dice": lambda: (
        losses.dice(LOGITS, BITS),
        theirs.dice(BITS, np.array(jax.nn.sigmoid(LOGITS)), axis=(1,)),
    ),
    "tversky": lambda: (
        losses.tversky(LOGITS, BITS, 0.3, 0.6),
        theirs.tversky(BITS, np.array(jax.nn.sigmoid(LOGITS)), 0.3, 0.6, axis=(1,)),
    ),
    "ctc": lambda: (losses.ctc(SEQUENCES, SPOKEN), theirs.ctc(SPOKEN, SEQUENCES)),
}


@pytest.mark.parametrize("name", TABLE)
def test_values_equal_keras(name):
    ours, expected = TABLE[name]()
    assert ours.shape == (6,)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


PAIRS = {
    "percentage": (losses.mean_absolute_percentage_error, OTHER),
    "log cosh": (losses.log_cosh, OTHER),
    "cosine": (losses.cosine_similarity, OTHER),
    "hinge": (losses.hinge, ONE_HOT),
    "categorical hinge": (losses.categorical_hinge, ONE_HOT),
    "kl": (losses.kl_divergence, OTHERS),
    "binary focal": (losses.binary_focal_crossentropy, ONE_HOT),
    "categorical focal": (losses.categorical_focal_crossentropy, ONE_HOT),
    "dice": (losses.dice, ONE_HOT),
    "weights of classes": (losses.class_weighted(losses.categorical_crossentropy, [1, 2, 3, 4]), ONE_HOT),
    "sparse": (losses.sparse_categorical_crossentropy, LABELS),
    "categorical": (losses.categorical_crossentropy, ONE_HOT),
    "binary": (losses.binary_crossentropy, ONE_HOT),
    "squared": (losses.mean_squared_error, OTHER),
    "absolute": (losses.mean_absolute_error, OTHER),
    "huber": (losses.huber, OTHER),
    "asymmetric": (lambda y, t: losses.asymmetric_cost(y, t, 1, 99), OTHER),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.sampled(5)
def test_jit_vmap_and_masked_gradients(name):
    """Under vmap a batch of one at a time gives what the batch gives; hidden nan rows leave no trace."""
    loss, targets = PAIRS[name]
    targets = jnp.asarray(targets)
    mask = jnp.array([1.0, 1, 1, 1, 0, 0])
    one_by_one = jax.jit(jax.vmap(lambda y, t: loss(y[None], t[None])[0]))(LOGITS, targets)
    np.testing.assert_allclose(one_by_one, loss(LOGITS, targets), rtol=1e-6)

    @jax.jit
    @jax.value_and_grad
    def masked(y, t, mask):
        return losses.masked_mean(loss(y, t), mask)

    value, gradient = masked(LOGITS, targets, mask)
    expected, expected_gradient = masked(LOGITS[:4], targets[:4], mask[:4])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[:4], expected_gradient, rtol=1e-5, atol=1e-7)
    assert not np.any(gradient[4:])
    poisoned = jnp.asarray(LOGITS).at[4:].set(jnp.nan)
    np.testing.assert_allclose(masked(poisoned, targets, mask)[0], expected, rtol=1e-6)


def test_masked_mean_of_nothing_is_zero():
    assert losses.masked_mean(jnp.array([jnp.inf, jnp.nan]), jnp.zeros(2)) == 0


@pytest.mark.parametrize("size", [1e4, 3e38, np.inf])
@pytest.mark.parametrize("name", ["sparse", "categorical"])
def test_extreme_logits(name, size):
    """A class driven to certainty: the loss is 0 where it is right, and the gradient is a number anyway."""
    loss, _ = PAIRS[name]
    logits = jnp.array([[0.0, -size, -size], [0.0, 1.0, -size]], jnp.float32)
    labels = jnp.array([0, 1]) if name == "sparse" else jnp.eye(3)[:2]
    np.testing.assert_allclose(loss(logits, labels), [0, np.log1p(np.exp(-1))], rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(loss(x, labels)))(logits)
    p = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(gradient, [[0, 0, 0], [1 - p, p - 1, 0]], atol=1e-6)


@pytest.mark.parametrize("size", [1e4, 1e38])
def test_extreme_wrong_logits_cost_their_distance(size):
    logits = jnp.array([[size, 0.0, 0.0]], jnp.float32)
    for loss, target in (
        (losses.sparse_categorical_crossentropy, jnp.array([1])),
        (losses.categorical_crossentropy, jnp.array([[0, 1.0, 0]])),
    ):
        np.testing.assert_allclose(loss(logits, target), [size], rtol=1e-6)
        gradient = jax.grad(lambda x, loss=loss, target=target: loss(x, target)[0])(logits)
        np.testing.assert_allclose(gradient, [[1, -1, 0]])
    x, t = jnp.array([[size], [-size], [size]], jnp.float32), jnp.array([[0.0], [1.0], [1.0]])
    np.testing.assert_allclose(losses.binary_crossentropy(x, t), [size, size, 0], rtol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(losses.binary_crossentropy(x, t)))(x)
    np.testing.assert_allclose(slope, [[1], [-1], [0]])


def test_clipped_probabilities_have_finite_gradients():
    def loss(p):
        return jnp.sum(losses.categorical_crossentropy_from_probabilities(p, jnp.eye(2)))

    value, gradient = jax.value_and_grad(loss)(jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(value, -2 * np.log(np.float32(1e-7)), rtol=1e-6)
    assert np.all(np.isfinite(gradient))


def test_sequences_are_averaged_over_time():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(2, 5, 4)).astype(np.float32), rng.integers(0, 4, (2, 5))
    expected = theirs.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    ours = losses.sparse_categorical_crossentropy(logits, labels)
    np.testing.assert_allclose(ours, np.mean(expected, axis=1), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int8])
def test_a_label_that_is_no_class_gives_nan(dtype):
    labels = np.array([0, 3, 4, 200 if dtype == np.uint8 else -1], dtype)
    values = losses.sparse_categorical_crossentropy(LOGITS[:4], labels)
    np.testing.assert_array_equal(np.isnan(values), [False, False, True, True])


def test_bfloat16_logits_give_float32_losses():
    logits = jnp.asarray(LOGITS, jnp.bfloat16)
    ours = losses.sparse_categorical_crossentropy(logits, LABELS)
    assert ours.dtype == jnp.float32
    expected = theirs.sparse_categorical_crossentropy(LABELS, np.float32(logits), from_logits=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_asymmetric_cost_and_its_slopes():
    predictions, targets = jnp.array([[1.5], [0.5], [1.0]]), jnp.ones((3, 1))
    values = losses.asymmetric_cost(predictions, targets, cost=2, profit=30)
    np.testing.assert_allclose(values, [2 * 0.5, 30 * 0.5, 0])
    slope = jax.grad(lambda y: jnp.sum(losses.asymmetric_cost(y, targets, 2, 30)))(predictions)
    np.testing.assert_allclose(slope[:, 0], [2, -30, -30])  # at equality the course takes the second branch


def test_weighted_sum_of_heads_equals_keras_loss_weights():
    """Two heads, classes and boxes, weighted 0.8 and 0.2 as in the course's localisation example."""
    boxes, true_boxes = np.random.default_rng(1).normal(size=(2, 6, 4)).astype(np.float32)
    inputs = keras.Input((4,)), keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Identity()(x) for x in inputs])
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=[crossentropy, "mse"], loss_weights=[0.8, 0.2])
    expected = model.evaluate([LOGITS, boxes], [LABELS, true_boxes], verbose=0)
    heads = {
        "class": losses.sparse_categorical_crossentropy(LOGITS, LABELS),
        "box": losses.mean_squared_error(boxes, true_boxes),
    }
    total = losses.weighted_sum(heads, {"class": 0.8, "box": 0.2})
    assert total.shape == (6,)
    expected = expected[0] if isinstance(expected, list) else expected
    np.testing.assert_allclose(losses.masked_mean(total, jnp.ones(6)), expected, rtol=1e-6)


def test_penalty_equals_keras_regularizer_on_kernels_alone():
    params = {
        "dense": {"kernel": jnp.asarray(LOGITS), "bias": jnp.ones(4)},
        "bn": {"scale": jnp.ones(4)},
        "letters": {"embedding": jnp.ones((5, 2))},
    }
    ours = losses.l1_l2_penalty(params, l1=0.02, l2=0.01)
    np.testing.assert_allclose(ours, keras.regularizers.L1L2(0.02, 0.01)(LOGITS), rtol=1e-6)
    gradient = jax.grad(lambda p: losses.l1_l2_penalty(p, l2=0.01))(params)
    np.testing.assert_allclose(gradient["dense"]["kernel"], 2 * 0.01 * LOGITS, rtol=1e-6)
    everything = losses.l1_l2_penalty(params, l1=1, select=lambda p: jax.tree.map(lambda w: True, p))
    np.testing.assert_allclose(everything, np.abs(LOGITS).sum() + 4 + 4 + 10, rtol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: losses.mean_squared_error(jnp.ones((3, 1)), jnp.ones(3)), r"\(3, 1\) and targets \(3,\)"),
        (lambda: losses.sparse_categorical_crossentropy(LOGITS, ONE_HOT), "whole numbers of shape"),
        (lambda: losses.weighted_sum({"a": jnp.ones(2)}, {"b": 1.0}), "one weight of the same name"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_heads_add_up_their_losses_by_weight():
    """F6 in NumPy: 0.8 times cross-entropy plus 0.2 times the mean squared error."""
    rng = np.random.default_rng(0)
    logits, boxes, found = (rng.normal(size=(6, width)).astype(np.float32) for width in (3, 4, 4))
    labels = np.array([0, 1, 2, 0, 1, 2])
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -0.8 * np.log(chances[np.arange(6), labels]) + 0.2 * np.square(found - boxes).mean(1)
    loss = losses.heads(
        {"class": (losses.sparse_categorical_crossentropy, 0.8), "box": (losses.mean_squared_error, 0.2)}
    )
    outputs, targets = {"class": logits, "box": found}, {"class": labels, "box": boxes}
    np.testing.assert_allclose(loss(outputs, targets), expected, rtol=1e-5)
    of_boxes = losses.of_head("box", losses.mean_squared_error)
    np.testing.assert_allclose(of_boxes(outputs, targets), np.square(found - boxes).mean(1), rtol=1e-6)


def test_the_table_has_every_loss_that_needs_no_further_arguments():
    left_out = {"asymmetric_cost", "weighted_sum", "masked_mean", "reduce", "weigh", "smooth_labels"}
    left_out |= {"class_weighted", "heads", "ignore_class", "of_head", "kernels", "l1_l2_penalty"}
    functions = {name for name in losses.__all__ if name.islower() and "probabilities" not in name}
    assert functions - left_out == set(losses.LOSSES)


def test_a_zero_vector_has_a_cosine_of_0_and_a_gradient():
    value, slope = jax.value_and_grad(lambda y: losses.cosine_similarity(y, jnp.ones((1, 2)))[0])(
        jnp.zeros((1, 2))
    )
    assert value == 0
    assert np.isfinite(slope).all()


POSITIONS = np.random.default_rng(2).normal(size=(2, 3, 5, 4)).astype(np.float32)  # predictions and targets
CHOSEN = np.random.default_rng(3).integers(0, 4, (3, 5), dtype=np.int32)
WEIGHTS = np.array([0.5, 2.0, 0.0], np.float32)
POSITION_WEIGHTS = np.random.default_rng(4).uniform(0, 2, (3, 5)).astype(np.float32)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
@pytest.mark.parametrize("weights", [None, WEIGHTS[:, None], POSITION_WEIGHTS], ids=["none", "rows", "all"])
def test_reductions_and_weights_of_positions_equal_keras(reduction, weights):
    """Values (3, 5); Keras takes a column of weights for a weight of each example."""
    y, t = POSITIONS
    expected = theirs.MeanSquaredError(reduction=reduction)(t, y, sample_weight=weights)
    values = losses.mean_squared_error(y.reshape(15, 4), t.reshape(15, 4)).reshape(3, 5)
    if reduction == "mean_with_sample_weight" and weights is not None and weights.shape == (3, 1):
        expected = expected / 5  # Keras divides by the sum of the column, not of the five values of a row
    np.testing.assert_allclose(losses.reduce(values, weights, reduction), expected, rtol=1e-6)
    if reduction == "sum_over_batch_size":
        ours = losses.mean_squared_error(y, t, weights=weights)
        np.testing.assert_allclose(np.mean(ours), expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [None, POSITION_WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("ignored", [2, -1, 255])
def test_ignored_classes_equal_keras(ignored, weights):
    y, labels = POSITIONS[0], np.where(CHOSEN == 2, ignored, CHOSEN)
    loss = losses.ignore_class(losses.sparse_categorical_crossentropy, ignored)
    keras_loss = theirs.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignored)
    expected = keras_loss(labels, y, sample_weight=weights)
    ours = losses.reduce(loss(y, labels, weights=weights))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    gradient = jax.grad(lambda y: losses.reduce(loss(y, labels)))(y)
    assert np.isfinite(gradient).all()
    assert not gradient[labels == ignored].any()
    assert losses.reduce(loss(y, np.full_like(labels, ignored))) == 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: losses.mean_squared_error(OTHER, OTHER, weights=jnp.ones(5)), r"\(5,\) do not fit values"),
        (lambda: losses.reduce(jnp.ones(3), jnp.ones((3, 2))), "do not fit values"),
        (lambda: losses.reduce(jnp.ones(3), reduction="median"), "it must be one of sum_over_batch_size"),
        (lambda: losses.class_weighted(losses.hinge, {-1: 2.0}), "classes count from 0"),
        (lambda: losses.class_weighted(losses.hinge, [1.0, -1.0]), "0 or more"),
        (lambda: losses.class_weighted(losses.categorical_crossentropy, [1, 2])(OTHER, ONE_HOT), "4 classes"),
        (lambda: losses.class_weighted(losses.categorical_crossentropy, {7: 2})(OTHER, ONE_HOT), "4 classes"),
        (lambda: losses.ctc(SEQUENCES, SPOKEN[0]), r"\(batch, time, classes\)"),
        (lambda: losses.ctc(SEQUENCES, SPOKEN * 1.0), "whole numbers"),
        (lambda: losses.weigh(losses.dice, OTHER, BITS, jnp.ones((6, 4))), "one weight per example"),
    ],
)
def test_wrong_weights_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
