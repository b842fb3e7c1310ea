"""A module written from a Keras file gives Keras's outputs with its weights; no file writes code itself."""

import ast
import json
import zipfile
from contextlib import suppress

import jax
import keras
import numpy as np
import pytest
from keras import layers as kl
from keras_pairs import random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras, make_skeleton
from jaxnets.keras_weights.skeleton.activations import as_argument, as_function
from jaxnets.keras_weights.weightless import ALL_ACTIVATIONS, HARD_SIGMOID_KERAS2

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
    pytest.mark.filterwarnings("ignore:.*structure of `inputs`.*"),
    pytest.mark.filterwarnings("ignore:.*does not support masking.*"),
]


def module_of(source):
    """The module in a skeleton, and the skeleton."""
    skeleton = make_skeleton(source)
    names = {}
    exec(compile(skeleton.text, "net.py", "exec"), names)
    return names["Net"](), skeleton


def inputs_for(model, rng):
    def array(tensor):
        shape = (2, *(side or 5 for side in tensor.shape[1:]))
        if len(shape) == 2:
            return np.sort(rng.integers(0, 9, shape) * rng.integers(0, 2, shape))[:, ::-1].astype("f")
        x = rng.normal(size=shape).astype("f")
        x[0, -2:] = 0  # what Masking masks
        return x

    return jax.tree.map(array, model.inputs[0] if isinstance(model, keras.Sequential) else model.input)


def assert_same(model, tmp_path, endings=(".keras", ".h5"), rename=False, train=True):
    """The module that is written of a model gives its outputs, from every file of it."""
    x = inputs_for(model, np.random.default_rng(0))
    arguments = tuple(x) if isinstance(x, list) else (x,)
    with jax.numpy_rank_promotion("allow"):
        expected = model(x, training=False)
    for ending in endings:
        path = tmp_path / f"model{ending}"
        model.save(path)
        net, skeleton = module_of(path)
        assert skeleton.missing == []
        assert bool(skeleton.rename) == rename
        variables = from_keras(path, net, rename=skeleton.rename)
        with jax.numpy_rank_promotion("allow"):
            assert_close(net.apply(variables, *arguments), expected)
    if train and "ropout" not in skeleton.text:  # nothing is random in training
        with jax.numpy_rank_promotion("allow"):
            expected = model(x, training=True)
            found, new = net.apply(variables, *arguments, train=True, mutable=["batch_stats"])
        assert_close(found, expected)
        if new:  # the updated statistics
            assert_close(new["batch_stats"], from_keras(model, net, rename=skeleton.rename)["batch_stats"])


def assert_close(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape
        largest = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * largest)


def images(*layers, shape=(13, 12, 3)):
    return lambda: keras.Sequential([keras.Input(shape), *(layer() for layer in layers)])


CHAINS = {
    "plain": images(
        lambda: kl.Rescaling(1 / 127.5, offset=-1),
        lambda: kl.ZeroPadding2D(((1, 2), (0, 3))),
        lambda: kl.Conv2D(4, (3, 2), (2, 1), padding="same", activation="relu", use_bias=False),
        lambda: kl.BatchNormalization(epsilon=0.1, momentum=0.9),
        lambda: kl.LeakyReLU(0.1),
        lambda: kl.SpatialDropout2D(0.3),
        lambda: kl.AveragePooling2D(2, 1, padding="same"),
        lambda: kl.Cropping2D(((1, 0), (2, 1))),
        lambda: kl.UpSampling2D((2, 1)),
        lambda: kl.GaussianNoise(0.2),
        lambda: kl.ReLU(max_value=4.0, negative_slope=0.1),
        lambda: kl.GlobalAveragePooling2D(keepdims=True),
        lambda: kl.Flatten(),
        lambda: kl.Dropout(0.5),
        lambda: kl.Dense(6, activation="gelu"),
        lambda: kl.Reshape((3, -1)),
        lambda: kl.Permute((2, 1)),
        lambda: kl.Flatten(),
        lambda: kl.RepeatVector(2),
        lambda: kl.Softmax(),
    ),
    "convolutions": images(
        lambda: kl.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="silu"),
        lambda: kl.SeparableConv2D(4, 3, strides=2, activation=keras.layers.ReLU(6.0)),
        lambda: kl.BatchNormalization(scale=False),
        lambda: kl.Conv2D(4, 2, dilation_rate=2, activation="hard_sigmoid"),
        lambda: kl.BatchNormalization(center=False, axis=3),
        lambda: kl.Conv2DTranspose(6, 3, strides=2, padding="same", activation="softplus"),
        lambda: kl.Conv2D(6, 1, groups=2, activation="mish"),
        lambda: kl.GroupNormalization(3),
        lambda: kl.GroupNormalization(-1),
        lambda: kl.UpSampling2D(2, interpolation="bilinear"),
        lambda: kl.LayerNormalization(),
        lambda: kl.GaussianDropout(0.3),
        lambda: kl.ELU(0.5),
        lambda: kl.GlobalMaxPooling2D(),
    ),
    "series": images(
        lambda: kl.Conv1D(4, 3, padding="causal", activation="tanh"),
        lambda: kl.MaxPooling1D(2, padding="same"),
        lambda: kl.ZeroPadding1D((1, 2)),
        lambda: kl.Cropping1D(1),
        lambda: kl.UpSampling1D(2),
        lambda: kl.Conv1D(4, 2, dilation_rate=2),
        lambda: kl.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid", dropout=0.2),
        lambda: kl.TimeDistributed(kl.Dense(5, activation="relu")),
        lambda: kl.Bidirectional(kl.GRU(3, return_sequences=True), merge_mode="sum"),
        lambda: kl.SimpleRNN(4, return_sequences=True, go_backwards=True, activation="relu"),
        lambda: kl.Bidirectional(kl.LSTM(3)),
        lambda: kl.Dense(2, activation="softmax"),
        shape=(9, 3),
    ),
    "volumes": images(
        lambda: kl.Conv3D(3, 2, activation="selu"),
        lambda: kl.MaxPooling3D(2),
        lambda: kl.GlobalAveragePooling3D(),
        shape=(6, 5, 6, 2),
    ),
    "frames": images(
        lambda: kl.TimeDistributed(kl.Conv2D(3, 3, activation="relu")),
        lambda: kl.TimeDistributed(kl.MaxPooling2D(2)),
        lambda: kl.TimeDistributed(kl.Flatten()),
        lambda: kl.GRU(3, reset_after=False),
        shape=(4, 7, 7, 1),
    ),
    "sequences": images(
        lambda: kl.DepthwiseConv1D(3, padding="same", depth_multiplier=2, dilation_rate=2, use_bias=False),
        lambda: kl.SeparableConv1D(4, 3, padding="same", dilation_rate=2, activation="hard_tanh"),
        lambda: kl.Conv1D(6, 2, strides=2, groups=2, padding="causal", activation="hard_shrink"),
        lambda: kl.BatchNormalization(axis=1, scale=False, momentum=0.9),
        lambda: kl.Conv1DTranspose(3, 3, strides=3, padding="same", output_padding=1, activation="softsign"),
        lambda: kl.Conv1DTranspose(4, 2, dilation_rate=2),
        lambda: kl.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.3),
        lambda: kl.AveragePooling1D(3, 2, padding="same"),
        lambda: kl.MaxPooling1D(2, 1),
        lambda: kl.GlobalMaxPooling1D(keepdims=True),
        lambda: kl.Activation("glu"),
        shape=(11, 4),
    ),
    "dilated": images(
        lambda: kl.Conv2D(4, 3, dilation_rate=(2, 1), groups=2, padding="same", activation=kl.ReLU(3.0)),
        lambda: kl.DepthwiseConv2D((2, 3), dilation_rate=2, activation="celu"),
        lambda: kl.SeparableConv2D(4, 3, dilation_rate=(1, 2), depth_multiplier=2, use_bias=False),
        lambda: kl.BatchNormalization(axis=1, center=False, epsilon=0.01),
        lambda: kl.BatchNormalization(axis=2),
        lambda: kl.Conv2DTranspose(3, 3, strides=(2, 3), output_padding=(1, 2), padding="same"),
        lambda: kl.Conv2DTranspose(3, (2, 3), dilation_rate=(2, 3)),
        lambda: kl.GlobalMaxPooling2D(keepdims=True),
        shape=(12, 11, 4),
    ),
    "solids": images(
        lambda: kl.Conv3D(4, 2, strides=(1, 2, 1), groups=2, padding="same", activation="squareplus"),
        lambda: kl.Conv3D(3, 2, dilation_rate=(1, 2, 1), use_bias=False, padding="same"),
        lambda: kl.Conv3DTranspose(2, 2, strides=2, output_padding=(1, 0, 1), padding="same"),
        lambda: kl.BatchNormalization(),
        lambda: kl.AveragePooling3D((2, 1, 2), 1, padding="same"),
        lambda: kl.MaxPooling3D((1, 2, 2)),
        lambda: kl.GlobalAveragePooling3D(keepdims=True),
        shape=(5, 6, 5, 2),
    ),
    "in_both_directions": images(
        lambda: kl.Bidirectional(kl.LSTM(3, return_sequences=True, use_bias=False), merge_mode="mul"),
        lambda: kl.Bidirectional(
            kl.GRU(3, return_sequences=True, dropout=0.1),
            backward_layer=kl.LSTM(3, return_sequences=True, go_backwards=True, activation="relu"),
        ),
        lambda: kl.Bidirectional(kl.SimpleRNN(3, return_sequences=True, unroll=True), merge_mode="sum"),
        lambda: kl.GRU(3, return_sequences=True, unroll=True, reset_after=False, use_bias=False),
        lambda: kl.LSTM(3, return_sequences=True, go_backwards=True, recurrent_dropout=0.2),
        lambda: kl.SimpleRNN(3, return_sequences=True, activation="linear", use_bias=False),
        lambda: kl.Bidirectional(kl.GRU(3, recurrent_activation="hard_sigmoid"), merge_mode="ave"),
        shape=(4, 3),
    ),
    "masked_ids": lambda: keras.Sequential(
        [
            keras.Input((6,)),
            kl.Embedding(11, 4, mask_zero=True),
            kl.BatchNormalization(),
            kl.TimeDistributed(kl.Dense(4)),
            kl.LSTM(3, return_sequences=True, zero_output_for_mask=True),
            kl.Bidirectional(kl.GRU(3, return_sequences=True)),
            kl.LeakyReLU(),
            kl.GlobalAveragePooling1D(),
        ]
    ),
    "masked_steps": images(
        lambda: kl.Masking(),
        lambda: kl.SimpleRNN(3, return_sequences=True, go_backwards=True),
        lambda: kl.Bidirectional(kl.LSTM(3), merge_mode="ave"),
        shape=(5, 3),
    ),
    "mask_for_nobody": images(
        lambda: kl.Masking(),
        lambda: kl.Conv1D(3, 2),
        lambda: kl.LSTM(2),
        shape=(5, 3),
    ),
    "words": lambda: keras.Sequential(
        [keras.Input((6,)), kl.Embedding(11, 4), kl.GlobalAveragePooling1D(), kl.Dense(2, name="class")]
    ),
}


QUICK = ("words", "dictionaries", "shared_and_several_outputs", "sequences", "masked_steps")


def slow_but(names):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", slow_but(CHAINS))
@pytest.mark.sampled(3)
def test_a_chain_computes_what_it_does_in_keras(name, tmp_path):
    assert_same(random_model(CHAINS[name]), tmp_path)


def shared_and_several_outputs():
    """Two inputs, an encoder and a layer that are called twice, and two outputs."""
    inside = keras.Input((8,))
    h = kl.Dense(5, activation="tanh", name="in")(inside)
    encoder = keras.Model(
        inside, [kl.Dense(4, name="mean")(h), kl.Dense(4, name="spread")(h)], name="encoder"
    )
    one, two = keras.Input((8,), name="one"), keras.Input((8,), name="two")
    (a, b), (c, _) = encoder(one), encoder(two)
    both = kl.Dense(3, name="shared")
    merged = kl.Concatenate()([both(a), both(c), kl.Multiply()([a, c])])
    merged = kl.Average()([merged, kl.Dense(10, name="again")(merged)])
    return keras.Model([one, two], [kl.Dense(2, name="first")(merged), kl.Maximum()([a, b])])


def dictionaries():
    """Dicts go in and come out, in an order that is not that of the alphabet; inside, too."""
    y, x = keras.Input((4,), name="y"), keras.Input((6,), name="x")
    inner = keras.Model({"y": y, "x": x}, {"two": kl.Dense(3)(y), "one": kl.Dense(3)(x)}, name="inner")
    first, second = keras.Input((6,), name="zeta"), keras.Input((4,), name="alpha")
    out = inner({"x": first, "y": second})
    return keras.Model(
        {"zeta": first, "alpha": second}, {"sum": kl.Dense(2)(out["one"]), "rest": kl.Dense(2)(out["two"])}
    )


def residual():
    x = start = keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3, padding="same")(x)
    skip = kl.MaxPooling2D(2)(x)
    for _ in range(2):
        y = kl.Conv2D(4, 3, padding="same", use_bias=False)(x)
        y = kl.ReLU()(kl.BatchNormalization()(y))
        x = kl.Activation("relu")(kl.Add()([x, kl.Conv2D(4, 1)(y)]))
    x = kl.UpSampling2D(2)(kl.Subtract()([kl.MaxPooling2D(2)(x), skip]))
    return keras.Model(start, kl.Concatenate()([x, kl.Conv2D(2, 1)(start)]))


def frozen_backbone():
    """A backbone called with training=False, operators, and a sequential model in a functional one."""
    inside = keras.Input((6, 6, 3))
    base = keras.Model(inside, kl.BatchNormalization()(kl.Conv2D(4, 3)(inside)), name="base")
    start = keras.Input((6, 6, 3))
    x = kl.GlobalAveragePooling2D()(base(start / 2.0 + 1.0, training=False))
    head = keras.Sequential([keras.Input((4,)), kl.Dropout(0.5), kl.Dense(3, "relu")], name="head")
    y = head(x)
    return keras.Model(start, kl.Dense(2)(y * 2.0 - kl.Dense(3)(x)))


def attention():
    start = keras.Input((5, 8))
    x = kl.MultiHeadAttention(2, 4, dropout=0.1)(start, start)
    x = kl.LayerNormalization(epsilon=1e-6)(kl.Add()([start, x]))
    return keras.Model(start, kl.MultiHeadAttention(2, 3, output_shape=6, use_bias=False)(x, start, x))


def states():
    """An encoder whose last states a decoder starts from, in one direction and in both."""
    start, second = keras.Input((5, 3), name="source"), keras.Input((4, 2), name="target")
    _, h, c = kl.LSTM(3, return_state=True)(start)
    x = kl.LSTM(3, return_sequences=True)(second, initial_state=[h, c])
    x, *both = kl.Bidirectional(kl.GRU(3, return_sequences=True, return_state=True))(x)
    x = kl.Bidirectional(kl.GRU(3, return_sequences=True), merge_mode=None)(x, initial_state=both)
    x, h = kl.SimpleRNN(3, return_state=True, use_bias=False)(kl.Concatenate()(x))
    return keras.Model([start, second], [x, kl.SimpleRNN(3)(second, initial_state=h)])


def masks():
    """Masks of two inputs, given to layers, passed on and merged; a layer that is called with and without."""
    ids, steps = keras.Input((6,), name="ids"), keras.Input((6, 4), name="steps")
    x = kl.Embedding(11, 4, mask_zero=True)(ids)
    y = kl.Masking()(steps)
    shared = kl.LSTM(4, return_sequences=True)
    both = kl.Add()([shared(x), y])
    joined = kl.Concatenate()([x, y])
    last = kl.Bidirectional(kl.SimpleRNN(2))(kl.Dropout(0.1)(joined))
    return keras.Model([ids, steps], [kl.GRU(3)(both), shared(steps), last, kl.GlobalAveragePooling1D()(x)])


GRAPHS = {
    make.__name__: make
    for make in (
        shared_and_several_outputs,
        dictionaries,
        residual,
        frozen_backbone,
        attention,
        states,
        masks,
    )
}


@pytest.mark.parametrize("name", slow_but(GRAPHS))
def test_a_graph_computes_what_it_does_in_keras(name, tmp_path):
    assert_same(random_model(GRAPHS[name]), tmp_path)


@pytest.mark.slow
def test_every_activation_is_the_one_that_is_compared():
    """The code of each activation computes what the table of functions does, as a call and as an argument."""
    names = {}
    exec("import jax\nfrom flax import linen\nfrom jaxnets import nn", names)
    x = np.linspace(-4, 4, 42, dtype="f")
    for name in (*nn.ACTIVATIONS, HARD_SIGMOID_KERAS2):
        for code in (as_function(name), as_argument(name)):
            found = nn.get_activation(eval(code, names))(x)
            np.testing.assert_allclose(found, ALL_ACTIVATIONS[name](x), rtol=1e-6)
    assert as_function("relu") == "nn.relu"
    assert as_function("softmax") == "linen.softmax"


@pytest.mark.slow
def test_training_drops_and_updates_statistics(tmp_path):
    model = random_model(CHAINS["plain"])
    net, _ = module_of(model)
    variables = from_keras(model, net)
    x = np.random.default_rng(0).normal(size=(4, 13, 12, 3)).astype("f")
    y, new = net.apply(variables, x, train=True, rngs={"dropout": jax.random.key(0)}, mutable=["batch_stats"])
    assert not np.allclose(y, net.apply(variables, x))
    (norm,) = new["batch_stats"].values()
    assert not np.array_equal(norm["mean"], model.layers[3].moving_mean)


def unknown_layers():
    start = keras.Input((5,))
    x = kl.Embedding(7, 3, mask_zero=True)(start)
    x = kl.Softmax(name="masked")(x)
    x = kl.Lambda(lambda x: x + 1, name="mine")(x)
    return keras.Model(start, kl.Dense(2)(x))


def test_what_is_not_known_is_left_to_do(tmp_path):
    model = random_model(unknown_layers)
    model.save(tmp_path / "net.keras")
    net, skeleton = module_of(tmp_path / "net.keras")
    assert skeleton.missing == [
        "the layer masked (Softmax): the mask that Keras gives it",
        "the layer mine (Lambda): its class",
    ]
    with pytest.raises(NotImplementedError, match=r"write the layer masked \(Softmax\)"):
        net.init(jax.random.key(0), np.zeros((1, 5), "f"))
    assert '"axis": -1' in skeleton.text
    filled = skeleton.text.replace(
        'raise NotImplementedError("write the layer masked (Softmax)")', "return linen.softmax(inputs[0])"
    ).replace('raise NotImplementedError("write the layer mine (Lambda)")', "return inputs[0] + 1")
    assert ast.parse(filled)


@pytest.mark.parametrize(
    "layer, reason",
    [
        (kl.Conv2D(2, 3, data_format="channels_first"), "its data_format 'channels_first'"),
        (kl.LayerNormalization(axis=1), "its axis 1, which is not the last"),
        (kl.UpSampling2D(interpolation="lanczos3"), "its interpolation 'lanczos3'"),
        (kl.UnitNormalization(), "its class"),
    ],
)
def test_a_setting_that_is_not_known_is_never_overlooked(layer, reason):
    skeleton = make_skeleton(keras.Sequential([keras.Input((9, 8, 4)), layer]))
    (missing,) = skeleton.missing
    assert reason in missing


EVIL = '"); import os; os.system("touch pwned") #'
HOSTILE = [
    EVIL, "'''", '"""', "\\", "x\\", "{0}", "{x}", "a/b", "import", "self", "train", "apply", "name", "ｉｆ",
    "名前", "𝐱", "1", " ", "x" * 300, "nn", "print", "%s", "#", "$", "ﷺ", "²", "a.b",
]  # fmt: skip


def hostile(config, name, activation="relu"):
    """A configuration of a sequential model with a name in every place that a file may choose."""
    text = json.loads(json.dumps(config).replace('"dense_of_mine"', json.dumps(name)))
    text["config"]["name"] = name
    text["config"]["layers"][-1]["config"]["activation"] = activation
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_code(name, tmp_path, monkeypatch):
    """Whatever layers are called: the code has only the calls that the tables write."""
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3, name="dense_of_mine"), kl.Dense(2, name="x")])
    config = json.loads(model.to_json())
    (tmp_path / "net.json").write_text(json.dumps(hostile(config, name)))
    _, skeleton = module_of(tmp_path / "net.json")
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(skeleton.text)) if isinstance(node, ast.Call)
    }
    known = ("nn.Dense",)
    assert {
        one
        for one in calls
        if not one.startswith(known) and not one.endswith("_layer") and not name.startswith(one)
    } == set()
    constants = {node.value for node in ast.walk(ast.parse(skeleton.text)) if isinstance(node, ast.Constant)}
    assert {value for value in constants if value == name} or skeleton.rename
    assert skeleton.missing == []
    (tmp_path / "evil.json").write_text(json.dumps(hostile(config, "d", activation=name)))
    assert len(make_skeleton(tmp_path / "evil.json").missing) == 1  # an activation is known, or left to do
    module_of(tmp_path / "evil.json")
    changed = json.dumps(config).replace('"class_name": "Dense"', f'"class_name": {json.dumps(name)}')
    (tmp_path / "kind.json").write_text(changed)
    module_of(tmp_path / "kind.json")
    assert not (tmp_path / "pwned").exists()


def test_layers_that_linen_cannot_name_so_are_renamed_and_loaded(tmp_path):
    def make():
        names = ("apply", "name", "if")
        return keras.Sequential([keras.Input((4,)), *(kl.Dense(4, name=name) for name in names)])

    assert_same(random_model(make), tmp_path, endings=(".keras",), rename=True)


JUNK = [None, 5, -1, 10**12, 1e30, "x", "", [], {}, [1, 2], {"config": 5}, True, "relu", float("nan"), EVIL]
JUNK += [[["dense", 0, 0]], [None, 3], "channels_first", {"class_name": "__keras_tensor__"}]


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@pytest.mark.parametrize(
    "name",
    [
        "words",
        "dictionaries",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("plain", "series", "residual", "attention")
        ),
    ],
)
def test_a_configuration_of_nonsense_is_written_or_refused(name, tmp_path):
    rng = np.random.default_rng(0)
    text = random_model((CHAINS | GRAPHS)[name]).to_json()
    where = [place for place in places(json.loads(text)) if place]
    for _ in range(40):
        config = inner = json.loads(text)
        *way, last = where[rng.integers(len(where))]
        for key in way:
            inner = inner[key]
        inner[last] = JUNK[rng.integers(len(JUNK))]
        (tmp_path / "net.json").write_text(json.dumps(config))
        with suppress(UserError):
            compile(make_skeleton(tmp_path / "net.json").text, "net.py", "exec")


def test_graphs_that_are_none_are_refused(tmp_path):
    config = json.loads(random_model(residual).to_json())
    layers = config["config"]["layers"]
    circle = json.loads(json.dumps(config))
    own = circle["config"]["layers"][3]
    own["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = [own["name"], 0, 0]
    twice = json.loads(json.dumps(config).replace(f'"{layers[4]["name"]}"', f'"{layers[3]["name"]}"'))
    lost = json.loads(json.dumps(config).replace(f'["{layers[0]["name"]}", 0, 0]', '["nobody", 0, 0]'))
    for broken, words in (
        (circle, "needs its own output"),
        (twice, "two layers of one name"),
        (lost, "inputs are none"),
    ):
        (tmp_path / "net.json").write_text(json.dumps(broken))
        with pytest.raises(UserError, match=words):
            make_skeleton(tmp_path / "net.json")
    deep = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}
    for _ in range(300):
        deep = {"class_name": "Sequential", "config": {"name": "m", "layers": [deep]}}
    (tmp_path / "net.json").write_text(json.dumps(deep))
    with pytest.raises(UserError, match="is no model's"):
        make_skeleton(tmp_path / "net.json")


def test_a_chain_of_thousands_of_layers_is_written():
    layer = {"class_name": "Dense", "config": {"units": 2}}
    layers = [{**layer, "config": {**layer["config"], "name": f"d{i}"}} for i in range(5000)]
    links = [[[[f"d{i - 1}" if i else "in", 0, 0, {}]]] for i in range(5000)]
    start = {
        "class_name": "InputLayer",
        "name": "in",
        "config": {"batch_shape": [None, 2]},
        "inbound_nodes": [],
    }
    graph = [
        {**one, "name": one["config"]["name"], "inbound_nodes": link}
        for one, link in zip(layers, links, strict=True)
    ]
    settings = {"name": "m", "layers": [start, *reversed(graph)], "input_layers": [["in", 0, 0]]}

    class Live:
        name = "m"

        def get_config(self):
            return settings

        def to_json(self):
            return json.dumps(
                {"class_name": "Functional", "config": settings | {"output_layers": [["d4999", 0, 0]]}}
            )

    assert make_skeleton(Live()).text.count("nn.Dense(2") == 5000


def test_files_without_a_configuration_are_told_apart(tmp_path):
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3)])
    model.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(UserError, match="has no configuration of a sequential or functional model"):
        make_skeleton(tmp_path / "net.weights.h5")
    with pytest.raises(UserError, match="there is no file of that name"):
        make_skeleton(tmp_path / "none.keras")
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(UserError, match=r"without config\.json"):
        make_skeleton(tmp_path / "odd.keras")


APPLICATIONS = [
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "DenseNet121",
    "InceptionV3", "NASNetMobile", "ResNet50", "ResNet50V2", "Xception", "VGG16",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_networks_of_keras_applications(name, tmp_path):
    """Those of Keras's layers alone; EfficientNet begins with Normalization, which is left to do."""
    build = getattr(keras.applications, name)
    model = random_model(
        lambda: build(weights=None, include_top=False, pooling="avg", input_shape=(75, 75, 3))
    )
    # Not in training: in deep networks, statistics of a batch of two magnify rounding without bound.
    assert_same(model, tmp_path, endings=(".keras",), train=False)
