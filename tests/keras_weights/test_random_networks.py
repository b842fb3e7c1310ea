"""Networks of random layers, written in Keras and in Linen: what is equal is never refused."""

import copy
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen
from keras import layers as kl
from keras_pairs import PAIRS, random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]

ACTIVATIONS: dict[str, Callable] = {
    "linear": lambda x: x,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "softsign": jax.nn.soft_sign,
    **{
        name: getattr(jax.nn, name)
        for name in ("relu", "sigmoid", "elu", "selu", "silu", "softplus", "relu6")
    },
    **{
        name: getattr(jax.nn, name)
        for name in ("mish", "hard_sigmoid", "hard_silu", "celu", "softmax", "tanh")
    },
}

Step = tuple[list, Callable]  # Keras layers, and the same in Linen


class Net(linen.Module):
    """A network from functions."""

    steps: tuple

    @linen.compact
    def __call__(self, x):
        for step in self.steps:
            x = step(x)
        return x


def convolution(rng) -> Step:
    name, padding = rng.choice(list(ACTIVATIONS)), str(rng.choice(["same", "valid"]))
    strides, size, width = (int(rng.integers(1, n)) for n in (3, 4, 5))
    bias, f = bool(rng.integers(2)), ACTIVATIONS[name]
    theirs = {"padding": padding, "activation": str(name), "use_bias": bias}
    ours = {"padding": padding, "use_bias": bias}
    if rng.integers(4) == 0:
        wide = {"kernel_dilation": 2, "padding": padding.upper(), "use_bias": bias}
        layer = kl.Conv2D(width, size, dilation_rate=2, **theirs)
        return [layer], lambda x: f(linen.Conv(width, (size, size), **wide)(x))
    makers = [
        (kl.Conv2D(width, size, strides, **theirs), lambda: nn.Conv(width, size, strides, **ours)),
        (kl.DepthwiseConv2D(size, strides, **theirs), lambda: nn.DepthwiseConv(size, strides, **ours)),
        (
            kl.SeparableConv2D(width, size, strides, **theirs),
            lambda: nn.SeparableConv(width, size, strides, **ours),
        ),
        (
            kl.Conv2DTranspose(width, size, strides, **theirs),
            lambda: nn.ConvTranspose(width, size, strides, **ours),
        ),
    ]
    layer, make = makers[rng.integers(len(makers))]
    return [layer], lambda x: f(make()(x))


def between(rng) -> Step:
    epsilon, padding = float(rng.choice([1e-3, 1e-5, 0.1])), str(rng.choice(["same", "valid"]))
    steps: list[Step] = [
        ([kl.BatchNormalization(epsilon=epsilon)], lambda x: nn.BatchNorm(epsilon=epsilon)(x, False)),
        ([kl.MaxPooling2D(2, padding=padding)], lambda x: nn.max_pool(x, 2, padding=padding)),
        ([kl.AveragePooling2D(2, 1, padding=padding)], lambda x: nn.avg_pool(x, 2, 1, padding)),
        ([kl.ZeroPadding2D(((1, 0), (2, 1)))], lambda x: jnp.pad(x, ((0, 0), (1, 0), (2, 1), (0, 0)))),
        ([kl.UpSampling2D(2)], lambda x: x.repeat(2, 1).repeat(2, 2)),
        ([kl.SpatialDropout2D(0.3)], lambda x: x),
        (
            [kl.ReLU(max_value=4.0, negative_slope=0.1)],
            lambda x: jnp.minimum(jax.nn.leaky_relu(x, 0.1), 4.0),
        ),
        ([kl.MaxPooling2D(2, 1), kl.Activation("relu")], lambda x: nn.max_pool(jax.nn.relu(x), 2, 1)),
    ]
    return steps[rng.integers(len(steps))]


def images(rng):
    steps: list[Step] = []
    for _ in range(rng.integers(1, 4)):
        steps += [convolution(rng), between(rng)]
    ends: list[Step] = [
        ([kl.GlobalAveragePooling2D(keepdims=True), kl.Flatten()], nn.global_avg_pool),
        ([kl.GlobalMaxPooling2D()], nn.global_max_pool),
        ([kl.Flatten()], nn.flatten),
    ]
    return (17, 18, 3), [*steps, ends[rng.integers(3)], ([kl.Dense(2)], lambda x: nn.Dense(2)(x))]


def recurrent(rng, sequences: bool) -> Step:
    gates, name, reverse = str(rng.choice(["sigmoid", "hard_sigmoid"])), "tanh", bool(rng.integers(2))
    theirs = {"return_sequences": sequences, "activation": name, "go_backwards": reverse}
    ours = {"return_sequences": sequences, "activation": ACTIVATIONS[name]}
    gated = {"recurrent_activation": gates}, {"recurrent_activation": ACTIVATIONS[gates]}
    makers = [
        (kl.SimpleRNN(4, **theirs), lambda: nn.SimpleRNN(4, **ours)),
        (kl.LSTM(4, **theirs, **gated[0]), lambda: nn.LSTM(4, **ours, **gated[1])),
        (kl.GRU(4, **theirs, **gated[0]), lambda: nn.GRU(4, **ours, **gated[1])),
    ]
    layer, make = makers[rng.integers(3)]
    return [layer], lambda x: make()(x[:, ::-1] if reverse else x)


def bidirectional(rng, sequences: bool) -> Step:
    merge, first = str(rng.choice(["concat", "sum", "mul", "ave"])), bool(rng.integers(2))
    merges = {"concat": lambda *xs: jnp.concatenate(xs, -1), "sum": jnp.add, "mul": jnp.multiply}
    merges["ave"] = lambda a, b: (a + b) / 2

    def ours(x):
        def part(way):
            y = nn.LSTM(4, return_sequences=sequences)(x[:, ::way])
            return y[:, ::way] if sequences else y

        parts = [part(1), part(-1)] if first else [part(-1), part(1)][::-1]
        return merges[merge](*parts)

    return [kl.Bidirectional(kl.LSTM(4, return_sequences=sequences), merge_mode=merge)], ours


def texts(rng):
    steps: list[Step] = [([kl.Embedding(11, 4)], lambda x: nn.Embedding(11, 4)(x))]
    count = int(rng.integers(1, 4))
    for number in range(count):
        steps.append((recurrent, bidirectional)[rng.integers(2)](rng, number < count - 1))
        if number < count - 1 and rng.integers(2):
            layer = kl.TimeDistributed(kl.Dense(4, activation="relu"))
            steps.append(([layer], lambda x: jax.nn.relu(nn.Dense(4)(x))))
        steps.append(([kl.LayerNormalization()], lambda x: linen.LayerNorm(epsilon=1e-3)(x)))
    return (6,), [*steps, ([kl.Dense(3)], lambda x: nn.Dense(3)(x))]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", [images, texts])
def test_equal_networks_are_read(kind, seed, tmp_path):
    rng = np.random.default_rng(seed)
    shape, steps = kind(rng)
    theirs = [layer for layers, _ in steps for layer in layers]
    net = Net(tuple(ours for _, ours in steps))
    model = random_model(lambda: keras.Sequential([keras.Input(shape), *theirs]), seed)
    x = rng.integers(0, 11, (2, *shape)) if len(shape) == 1 else rng.normal(size=(2, *shape)).astype("f")
    with jax.numpy_rank_promotion("allow"):
        expected = np.asarray(model(x, training=False))
    for source in (model, tmp_path / "net.keras", tmp_path / "net.h5"):
        if source is not model:
            model.save(source)
        found = np.asarray(net.apply(from_keras(source, net), x))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * max(1, np.abs(expected).max()))


JUNK = [None, 5, -1, 10**12, 1e30, "x", "", [], {}, [1, 2], {"config": 5}, True, "relu", float("nan")]
JUNK += [[[["a", 0, 0]]], [None, 3], "channels_first"]


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("name", ["sequential", "branches", "nested", "recurrent", "inception"])
def test_a_configuration_of_nonsense_is_at_most_refused(name, tmp_path):
    rng, pair, path = np.random.default_rng(0), PAIRS[name], tmp_path / "net.keras"
    random_model(pair.keras_model).save(path)
    with zipfile.ZipFile(path) as archive:
        files = {member: archive.read(member) for member in archive.namelist()}
    config = json.loads(files["config.json"])
    where = [place for place in places(config) if place]
    for _ in range(60):
        changed = inner = copy.deepcopy(config)
        *way, last = where[rng.integers(len(where))]
        for key in way:
            inner = inner[key]
        inner[last] = JUNK[rng.integers(len(JUNK))]
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in files.items():
                archive.writestr(member, json.dumps(changed) if member == "config.json" else content)
        with suppress(UserError):
            from_keras(path, pair.module, pair.input_shape)
