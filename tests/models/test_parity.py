"""Every registered network beside its Keras counterpart: the same numbers from the same weights.

In float64 the two are equal to 1e-11. In float32 both round, in different orders on every processor, so that
neither can be held against the other: each has its distance from the float64 truth, and ours, over several
seeds, is at most `MULTIPLE` times Keras's.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.keras_weights import from_keras
from jaxnets.models import INPUT_SHAPES, MODELS
from tests.models.twins import Network, Twins, flat

NETWORKS = [
    Network("perceptron", (4,), 15),
    Network("mlp", (28, 28, 1), 101_770),
    Network("lenet5", (28, 28, 1), 61_706),
    Network("lenet5_sigmoid", (32, 32, 3), 62_006),
    Network("cnn", (28, 28, 1), 3_274_634),
    Network("cnn8", (28, 28, 1), 13_602),
    Network("fashion_cnn", (28, 28, 1), 1_413_834),
    Network("baseline", (32, 32, 3), 198_494, 12),
    Network("alexnet8", (32, 32, 3), 9_638_474, 704),
    Network("vgg16_cifar", (32, 32, 3), 15_253_578, 8_448),
    Network("inception10", (32, 32, 3), 120_234, 1_184),
    Network("inception10", (32, 32, 3), 120_234, 1_184, options={"fixed_affine": False}),
    Network("resnet18", (32, 32, 3), 11_173_962, 9_600),
    Network("resnet34", (224, 224, 3), 21_797_672, 17_024, {}, (65, 47, 3), (64, 64, 3)),
    Network("resnet50", (224, 224, 3), 25_583_592, 53_120, {}, (65, 47, 3), (64, 64, 3)),
    Network("xception", (299, 299, 3), 22_855_952, 54_528, {}, (75, 93, 3), (71, 71, 3)),
    Network("xception_classifier", (224, 224, 3), 20_817_197, 54_528, {}, (75, 93, 3), (71, 71, 3)),
    Network("xception_localizer", (224, 224, 3), 20_825_393, 54_528, {}, (75, 93, 3), (71, 71, 3)),
    Network("vgg16", (224, 224, 3), 138_357_544, 0, {}, (35, 49, 3), (32, 32, 3)),
    Network("vgg19", (224, 224, 3), 143_667_240, 0, {}, (35, 49, 3), (32, 32, 3)),
    Network("speednet", (32, 32, 3), 1_972_792, 2_304),
    Network("letters_1to1", (1, 5), 47),
    Network("letters_4to1", (4, 5), 47),
    Network("letters_1to1_embedding", (1,), 48),
    Network("letters_4to1_embedding", (4,), 468),
    Network("stock_rnn", (60, 1), 24_761),
    Network("stock_lstm", (60, 1), 98_741),
    Network("stock_gru", (60, 1), 74_621),
]
SEEDS = (0, 1, 2)
# Both round the same sums, added up in unlike orders. Over all networks, with the instructions of SSE4.2, of
# AVX2 and of AVX-512, in jax 0.10 and 0.12, ours were .2 to 2.8 times as far off as Keras's. The largest are
# AlexNet-8's gradients: Winograd's transforms add and subtract around the products of 3x3 kernels.
MULTIPLE = 4.0
UNIT = 2.0**-24  # a float32 operation's largest relative rounding error


def each(networks: list[Network], *marks: pytest.MarkDecorator) -> list[Any]:
    return [pytest.param(network, id=network.label, marks=marks) for network in networks]


# By default the small networks, and of one network's variants the documented one.
SLOW = [network for network in NETWORKS if network.trainable > 5_000_000 or network.options]
SMALL_FIRST = each([network for network in NETWORKS if network not in SLOW]) + each(SLOW, pytest.mark.slow)
MANY_LAYERS = [
    network for network in NETWORKS if network in SLOW or network.name in ("inception10", "speednet")
]
FEW_LAYERS = [network for network in NETWORKS if network not in MANY_LAYERS]


def distances(found: Any, truth: Any) -> dict[str, float]:
    """For every array, the root mean square of the error relative to that of the true array.

    A gradient's is relative to the largest of its layer: some are zero but for rounding, such as that of a
    bias in front of a normalization.
    """
    flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(truth)}
    sizes = {name: rms(leaf) for name, leaf in flat.items()}
    layers: dict[str, float] = {}
    for name, size in sizes.items():
        layer = name.split("/")[0]
        layers[layer] = max(layers.get(layer, 0.0), size)
    errors = jax.tree.leaves(jax.tree.map(lambda a, b: rms(a - b), found, truth))
    return {name: error / layers[name.split("/")[0]] for name, error in zip(flat, errors, strict=True)}


def rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(array, np.float64)))))


def assert_equal_in_float64(ours: Any, theirs: Any) -> None:
    far = {name: error for name, error in distances(ours, theirs).items() if not error <= 1e-11}
    assert not far


def worst(rows: list[dict[str, float]]) -> float:
    """Of the arrays of one kind, the largest distance, in the mean of squares over the seeds."""
    return max(rms(np.array([row[name] for row in rows])) for name in rows[0])


def assert_as_close_as_keras(ours: list[Any], keras_s: list[Any], kind: str) -> None:
    """`MULTIPLE` times, or a rounding unit's where Keras's is less by luck."""
    if any(keras_s):  # a network without normalization has no statistics
        assert worst(ours) <= MULTIPLE * max(worst(keras_s), UNIT), kind


def test_every_model_has_a_row():
    assert {network.name for network in NETWORKS} == set(MODELS)
    assert {network.name: network.shape for network in NETWORKS} == INPUT_SHAPES


@pytest.mark.parametrize("network", each(NETWORKS))
def test_parameter_counts(network):
    x = jax.ShapeDtypeStruct((1, *network.shape), jnp.float32)
    variables = jax.eval_shape(MODELS[network.name](**network.options).init, jax.random.key(0), x)
    count = {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in variables.items()}
    assert (count["params"], count.get("batch_stats", 0)) == (network.trainable, network.not_trainable)


@pytest.mark.parametrize("network", SMALL_FIRST)
@pytest.mark.sampled(2)
def test_inference(network):
    shape, batch = (network.odd_shape, 1) if network.odd_shape else (network.shape, 3)
    float32, float64 = Twins(network, shape), Twins(network, shape, "float64")
    ours, keras_s = [], []
    for seed in SEEDS:
        inputs = float32.draw(seed, batch)
        truth = float64(float64.our_outputs, *inputs)
        ours.append(distances(float32(float32.our_outputs, *inputs), truth))
        keras_s.append(distances(float32(float32.keras_outputs, *inputs), truth))
    assert_as_close_as_keras(ours, keras_s, "outputs")


ODD_SHAPES = {
    "lenet5": (29, 33, 2),
    "baseline": (33, 31, 3),
    "alexnet8": (47, 35, 3),
    "vgg16_cifar": (33, 19, 3),
    "inception10": (9, 15, 1),
    "resnet18": (17, 23, 4),
    "stock_gru": (1, 1),
}


@pytest.mark.parametrize("network", SMALL_FIRST)
@pytest.mark.sampled(3)
def test_inference_in_float64_at_odd_sizes_with_one_example(network, monkeypatch):
    # On a GPU Keras would call cuDNN's LSTM, which has no float64 and returns zeros.
    monkeypatch.setattr("keras.src.backend.jax.rnn._is_gpu_available", lambda: False, raising=False)
    twins = Twins(network, network.odd_shape or ODD_SHAPES.get(network.name, network.shape), "float64")
    inputs = twins.draw(0, batch=1)
    assert_equal_in_float64(twins(twins.our_outputs, *inputs), twins(twins.keras_outputs, *inputs))


@pytest.mark.parametrize("network", each(FEW_LAYERS) + each(MANY_LAYERS, pytest.mark.slow))
def test_weights_travel_by_structure_alone(network):
    """With no name left to go by, each weight still arrives where the names of this test put it."""
    twins = Twins(network, network.odd_shape or network.shape)
    weights, _ = twins.draw(0, batch=1)
    twins.set_weights(weights)
    for number, layer in enumerate(twins.keras.layers):
        layer.name = f"layer_{number}"
    variables = from_keras(twins.keras, twins.module)
    assert jax.tree.structure(variables) == jax.tree.structure(twins.template)
    for name, array in flat(variables).items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.parametrize("network", each(FEW_LAYERS) + each(MANY_LAYERS, pytest.mark.slow))
@pytest.mark.sampled(3)
def test_training_step(network):
    """In float64 equal; in float32 as close to it as Keras is."""
    shape = network.training_shape or network.shape
    float32, float64 = Twins(network, shape), Twins(network, shape, "float64")
    found: dict[str, tuple[list, list]] = {}
    for seed in SEEDS:
        inputs = float32.draw(seed, batch=4)
        steps = [("our_step", *float32(float32.our_step, *inputs))]
        steps += [("keras_step", *float32(float32.keras_step, *inputs))]
        truths = []
        for which, (program, step, choices) in enumerate(steps):
            program = getattr(float64, program)
            truth, own = along, _ = float64(program, *inputs, choices, np.bool_(False))
            if not all(map(np.array_equal, own, choices)):
                along, _ = float64(program, *inputs, choices, np.bool_(True))
            truths.append(truth)
            for kind, values in step.items():
                exact = (along if kind == "gradients" else truth)[kind]
                found.setdefault(kind, ([], []))[which].append(distances(values, exact))
        assert_equal_in_float64(*truths)
    for kind, (ours, keras_s) in found.items():
        assert_as_close_as_keras(ours, keras_s, kind)
