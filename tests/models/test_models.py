"""What all networks share: features, types, projections, shapes other than the documented ones."""

from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen

from jaxnets import nn
from jaxnets.models import INPUT_SHAPES, MODELS, Classifier, LeNet5, Localizer, RecurrentNet
from tests.keras_random import random_weights
from tests.keras_twins import KERAS_MODELS
from tests.rounding import assert_close

NAMES = sorted(MODELS)


def traced(name, **options):
    """Module, abstract variables and abstract input of two examples."""
    module = MODELS[name](**options)
    x = jax.ShapeDtypeStruct((2, *INPUT_SHAPES[name]), jnp.float32)
    return module, jax.eval_shape(module.init, jax.random.key(0), x), x


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(3)
def test_bfloat16_computes_with_float32_parameters_and_statistics(name):
    module, variables, x = traced(name, dtype=jnp.bfloat16)
    rest = {kind: tree for kind, tree in variables.items() if kind != "params"}

    def train(variables, x):
        return module.apply(variables, x, train=True, mutable=list(rest), rngs={"dropout": jax.random.key(0)})

    logits, new = jax.eval_shape(train, variables, x)
    assert dtypes(variables) == {jnp.dtype("float32")}
    assert dtypes(logits) == {jnp.dtype("bfloat16")}
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), new) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), rest
    )


@pytest.mark.parametrize("name", NAMES)
def test_number_of_classes_and_features(name):
    module, variables, x = traced(name, num_classes=7)
    heads = {"head", "predictions", "class_head", "box_head"} & set(variables["params"])
    assert heads == {
        "xception_localizer": {"class_head", "box_head"},
        "resnet18": {"predictions"},
        "resnet34": {"predictions"},
        "resnet50": {"predictions"},
        "vgg16_cifar": {"predictions"},
        "vgg16": {"predictions"},
        "vgg19": {"predictions"},
        "xception": {"predictions"},
    }.get(name, {"head"})
    # Built for its features alone, a network has no head, and they are what its head takes.
    features, bare = jax.eval_shape(lambda x: module.init_with_output(jax.random.key(0), x, features=True), x)
    assert set(variables["params"]) - set(bare.get("params", {})) == heads
    for head in heads:
        width = 4 if head == "box_head" else 7
        assert variables["params"][head]["kernel"].shape == (features.shape[-1], width)


@pytest.mark.parametrize("name", ["mlp", "lenet5", "cnn8", "inception10", "letters_4to1_embedding"])
def test_the_head_of_the_features_gives_the_logits(name):
    module, variables, x = traced(name)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32), variables)
    x = rng.integers(0, 5, x.shape).astype(np.float32)
    logits, features = jax.jit(lambda *a: (module.apply(*a), module.apply(*a, features=True)))(variables, x)
    head = variables["params"]["head"]
    np.testing.assert_allclose(logits, np.asarray(features) @ head["kernel"] + head["bias"], rtol=1e-5)


WITH_NORM = ["baseline", "alexnet8", "vgg16_cifar", "inception10", "resnet18", "resnet50", "xception"]


@pytest.mark.parametrize("name", WITH_NORM)
def test_axis_name_reaches_every_batch_norm(name):
    assert MODELS[name](axis_name="devices").axis_name == "devices"
    seen = []

    def record(call, args, kwargs, context):
        if isinstance(context.module, nn.BatchNorm):
            seen.append(context.module.axis_name)
        return call(*args, **kwargs)

    with linen.intercept_methods(record):
        traced(name, axis_name="devices")
    assert set(seen) == {"devices"}


PROJECTIONS = {
    "resnet18": {"conv3_block1_0_conv", "conv4_block1_0_conv", "conv5_block1_0_conv"},
    "resnet34": {"conv3_block1_0_conv", "conv4_block1_0_conv", "conv5_block1_0_conv"},
    "resnet50": {f"conv{stage}_block1_0_conv" for stage in (2, 3, 4, 5)},
}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_stage_starts_alone_have_projections(name):
    _, variables, _ = traced(name)
    params = variables["params"]
    assert {layer for layer in params if layer.endswith("_0_conv")} == PROJECTIONS[name]
    blocks = {"resnet18": [2, 2, 2, 2]}.get(name, [3, 4, 6, 3])
    names = {layer.split("_")[0] + layer.split("_")[1] for layer in params if "_block" in layer}
    assert names == {f"conv{s}block{b}" for s, n in enumerate(blocks, start=2) for b in range(1, n + 1)}


def test_documented_hyper_parameters_are_the_defaults():
    documented = {
        "baseline": {"dropout": 0.2},
        "alexnet8": {"dropout": 0.5},
        "vgg16_cifar": {"dropout": 0.2},
        "vgg16": {"dropout": 0.0},
        "cnn": {"dropout": 0.0},
        "fashion_cnn": {"dropout": 0.5},
        "stock_lstm": {"dropout": 0.2, "units": (80, 100)},
        "inception10": {"fixed_affine": True},
        "resnet18": {"epsilon": 1e-3},
        "resnet50": {"epsilon": 1.001e-5, "conv_bias": True},
    }
    for name, fields in documented.items():
        module = MODELS[name]()
        assert {field: getattr(module, field) for field in fields} == fields


def test_dropout_stands_where_the_document_has_it():
    """Counted by the shapes it is applied to."""
    documented = {
        "baseline": [(2, 16, 16, 6), (2, 128)],
        "alexnet8": [(2, 2048), (2, 2048)],
        "vgg16_cifar": [(2, s, s, c) for s, c in ((16, 64), (8, 128), (4, 256), (2, 512), (1, 512))]
        + 2 * [(2, 512)],
        "fashion_cnn": [(2, 128), (2, 64)],
        "stock_rnn": [(2, 60, 80), (2, 100)],
    }
    for name, shapes in documented.items():
        seen = []

        def record(call, args, kwargs, context, seen=seen):
            if isinstance(context.module, nn.Dropout):
                seen.append((context.module.rate, args[0].shape))
            return call(*args, **kwargs)

        with linen.intercept_methods(record):
            traced(name)
        rate = 0.5 if name in ("alexnet8", "fashion_cnn") else 0.2
        assert seen == [(rate, shape) for shape in shapes]


@pytest.mark.parametrize("head, outputs", [(Classifier, ("head",)), (Localizer, ("class_head", "box_head"))])
def test_heads_on_any_backbone_equal_keras(head, outputs):
    """On LeNet-5, through Keras's functional way of cutting a network in front of its last layer."""
    with random_weights(seed=3):
        base = KERAS_MODELS["lenet5"]((28, 28, 1))
        widths = {"head": 5, "class_head": 5, "box_head": 4}
        heads = [keras.layers.Dense(widths[name], name=name)(base.layers[-2].output) for name in outputs]
    x = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype(np.float32)
    theirs = keras.Model(base.inputs[0], heads)
    weights = {
        layer.name: {weight.name: weight.value for weight in layer.weights}
        for layer in theirs.layers
        if layer.weights
    }
    params = {name: weights.pop(name) for name in outputs} | {"backbone": weights}
    got = jax.jit(head(LeNet5()).apply)({"params": params}, x)
    got = [got["class"], got["box"]] if head is Localizer else [got]

    with jax.numpy_rank_promotion("allow"):
        expected = theirs(x)
    expected = expected if head is Localizer else [expected]
    assert_close(got, expected, roundings=400)  # as many numbers are added up in dense1, the most anywhere


def test_recurrent_stacks_of_any_depth():
    module = RecurrentNet(units=(4, 5, 6), layer=partial(nn.GRU, reset_after=False), num_classes=2)
    x = jax.ShapeDtypeStruct((1, 7, 3), jnp.float32)
    logits, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    shapes = [variables["params"][f"rnn{n}"]["recurrent_kernel"].shape for n in (1, 2, 3)]
    assert shapes == [(4, 12), (5, 15), (6, 18)]
    assert variables["params"]["rnn1"]["bias"].shape == (12,)
    assert logits.shape == (1, 2)
