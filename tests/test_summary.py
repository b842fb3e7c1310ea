"""The table agrees with published counts and with counts done by hand, and allocates nothing."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.summary import summarize


class SmallCNN(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (3, 3), padding="VALID", name="conv")(x)
        x = nn.BatchNorm(use_running_average=True, name="norm")(x)
        x = nn.relu(x)
        x = nn.Conv(8, (3, 3), strides=2, feature_group_count=8, use_bias=False, name="depthwise")(x)
        x = nn.ConvTranspose(4, (3, 3), strides=(2, 2), name="transposed")(x)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(0.5, deterministic=True, name="dropout")(x)
        return nn.Dense(10, name="dense")(x)


def test_layers_in_call_order_with_counts_done_by_hand():
    summary = summarize(SmallCNN(), (12, 12, 3))
    rows = {row.name: row for row in summary.layers}
    assert list(rows) == ["conv", "norm", "depthwise", "transposed", "dropout", "dense"]
    assert [row.output_shapes for row in summary.layers] == [
        [(None, 10, 10, 8)],
        [(None, 10, 10, 8)],
        [(None, 5, 5, 8)],
        [(None, 10, 10, 4)],
        [(None, 400)],
        [(None, 10)],
    ]
    assert [row.parameters for row in summary.layers] == [3 * 9 * 8 + 8, 32, 9 * 8, 9 * 8 * 4 + 4, 0, 4010]
    assert [row.multiply_adds for row in summary.layers] == [
        100 * 9 * 3 * 8,
        0,
        25 * 9 * 8,
        25 * 9 * 8 * 4,  # every input place meets the whole kernel once
        0,
        4000,
    ]
    assert rows["norm"].non_trainable == 16
    assert summary.non_trainable == 16
    assert summary.multiply_adds == 100 * 216 + 25 * 72 + 25 * 288 + 4000


def test_document_network_has_26_parameters_and_20_multiply_adds():
    summary = summarize(nn.Sequential([nn.Dense(4), nn.Dense(2)]), (3,))
    assert (summary.parameters, summary.multiply_adds) == (26, 20)


def test_recurrent_layer_is_one_row_and_counts_every_step():
    class Sequences(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            x = nn.Embed(11, 3, name="embed")(tokens)
            return nn.Dense(2, name="head")(nn.RNN(nn.SimpleCell(5), name="rnn")(x)[:, -1])

    summary = summarize(Sequences(), (7,), jnp.int32)
    assert [row.name for row in summary.layers] == ["embed", "rnn", "head"]
    assert [row.parameters for row in summary.layers] == [33, 3 * 5 + 5 * 5 + 5, 12]
    assert [row.multiply_adds for row in summary.layers] == [0, 7 * (3 * 5 + 5 * 5), 10]


def test_shared_layers_are_listed_once_and_multiply_every_time():
    class Shared(nn.Module):
        def setup(self):
            self.layer = nn.Dense(6)

        def __call__(self, x):
            return self.layer(self.layer(x))

    summary = summarize(Shared(), (6,))
    assert [(row.name, row.parameters, row.multiply_adds) for row in summary.layers] == [("layer", 42, 72)]


def test_own_parameters_of_a_block_and_transformed_code_are_counted():
    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, x):
            kernel = self.param("kernel", nn.initializers.ones, (4, 4))
            return jax.jit(jnp.dot)(nn.remat(nn.Dense)(4, name="inner")(x), kernel)

    summary = summarize(Scaled(), (4,))
    assert (summary.parameters, summary.multiply_adds) == (16 + 20, 32)


def test_published_counts_of_vgg16_and_nothing_is_allocated():
    class VGG16(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width, depth in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
                for _ in range(depth):
                    x = nn.Conv(width, (3, 3))(x)
                x = nn.max_pool(x, (2, 2), (2, 2))
            x = x.reshape(x.shape[0], -1)
            return nn.Dense(1000)(nn.Dense(4096)(nn.Dense(4096)(x)))

    before = len(jax.live_arrays())
    summary = summarize(VGG16(), (224, 224, 3))
    assert len(jax.live_arrays()) <= before
    assert summary.parameters == 138_357_544
    assert summary.multiply_adds == 15_470_264_320  # 15.5 G, as usually quoted


@pytest.mark.parametrize(
    "name, trainable, non_trainable",
    [("resnet18", 11_173_962, 9_600), ("letters_4to1_embedding", 468, 0), ("stock_gru", 74_621, 0)],
)
def test_documented_counts_of_our_networks(name, trainable, non_trainable):
    summary = summarize(MODELS[name](), INPUT_SHAPES[name])
    assert (summary.trainable, summary.non_trainable) == (trainable, non_trainable)
    assert summary.parameters == trainable + non_trainable


def test_resnet50_multiplies_as_often_as_published():
    # He et al. 2016, table 1: 3.8e9 multiply-adds, for the form that strides in the first 1x1 convolution.
    summary = summarize(MODELS["resnet50"](), INPUT_SHAPES["resnet50"])
    assert 3.75e9 < summary.multiply_adds < 3.9e9
    assert summary.parameters == 25_636_712


def test_text_and_json():
    summary = summarize(SmallCNN(), (12, 12, 3))
    text = summary.to_text()
    assert "conv (Conv)" in text
    assert "(None, 10, 10, 8)" in text
    assert f"Total params: {summary.parameters:,}" in text
    assert len({len(line) for line in text.splitlines()[3:10] if line}) == 1
    read = json.loads(json.dumps(summary.to_json()))
    assert read["parameters"] == read["trainable_parameters"] + read["non_trainable_parameters"]
    assert read["layers"][1] == {
        "name": "norm",
        "type": "BatchNorm",
        "output_shape": [None, 10, 10, 8],
        "parameters": 32,
        "trainable_parameters": 16,
        "non_trainable_parameters": 16,
        "multiply_adds": 0,
    }
    assert np.sum([layer["parameters"] for layer in read["layers"]]) == read["parameters"]
