"""What the user says of the layers: which to take, which belong together; and modules with several inputs."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen
from keras import layers as kl
from keras_pairs import Net, random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras, load_pairs, pair_layers, save_keras_weights, to_keras

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]


def chain(*names, widths=(8, 8, 3)):
    layers = [kl.Dense(width, name=name) for name, width in zip(names, widths, strict=True)]
    return random_model(lambda: keras.Sequential([keras.Input((6,)), *layers]))


def dense_chain(*names, widths=(8, 8, 3)):
    def body(x):
        for name, width in zip(names, widths, strict=True):
            x = nn.Dense(width, name=name)(x)
        return x

    return Net(body)


def initial(module, shape=(6,)):
    return module.init(jax.random.key(1), jnp.ones((1, *shape)))


def assert_loaded(variables, place, layer):
    np.testing.assert_array_equal(variables["params"][place]["kernel"], layer.get_weights()[0])


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_a_file_with_a_head_gives_the_backbone(ending, tmp_path):
    model, path = chain("a", "b", "head"), tmp_path / f"net{ending}"
    (model.save_weights if "weights" in ending else model.save)(path)
    module = dense_chain("a", "b", widths=(8, 8))
    start = initial(module)
    with pytest.warns(UserWarning, match=r"2 of 2 layers .* \(a, b\); .*: none; not taken from it: head"):
        found = from_keras(path, module, (6,), partial=start)
    assert_loaded(found, "a", model.layers[0])
    assert jax.tree.structure(found) == jax.tree.structure(start)


@pytest.mark.parametrize("names", [("a", "b", "head"), ("x", "y", "z")])
def test_a_backbone_leaves_the_head_at_its_initial_values(names, tmp_path):
    """By name, or by structure where names differ: the longest beginning that fits."""
    model = chain("a", "b", widths=(8, 8))
    module = dense_chain(*names)
    start = initial(module)
    with pytest.warns(
        UserWarning, match=rf"2 of 3 layers .*at their initial values: {names[2]} \(8, 3\) \(3,\)"
    ):
        found = from_keras(model, module, partial=start)
    assert_loaded(found, names[1], model.layers[1])
    assert found["params"][names[2]] is not start["params"][names[2]]
    np.testing.assert_array_equal(found["params"][names[2]]["kernel"], start["params"][names[2]]["kernel"])


def test_a_head_for_other_classes_is_left_on_both_sides():
    model, module = chain("a", "b", "head"), dense_chain("a", "b", "head", widths=(8, 8, 5))
    with pytest.raises(UserError, match="misshapen: head"):
        from_keras(model, module)
    with pytest.warns(UserWarning, match=r"initial values: head \(8, 5\) \(5,\); not taken from it: head"):
        found = from_keras(model, module, partial=initial(module))
    assert_loaded(found, "b", model.layers[1])


def test_a_part_is_compared_with_the_configuration_and_never_empty():
    model, module = chain("a", "b", "head"), dense_chain("a", "b", "head", widths=(8, 8, 5))
    relu = Net(lambda x: nn.Dense(8, name="b")(jax.nn.relu(nn.Dense(8, name="a")(x))))
    with pytest.raises(UserError, match="does not compute"):
        from_keras(model, relu, partial=initial(relu))
    other = dense_chain("c", widths=(4,))
    with pytest.raises(UserError, match="does not fit"):
        from_keras(model, other, partial=initial(other))
    with pytest.raises(UserError, match="are not those of the module"):
        from_keras(model, module, partial={})
    with pytest.raises(UserError, match="give partial=, variables of Net"):
        load_pairs(pair_layers(model, module, partial=True))


def gate():
    """Two equal branches, of which only the layer of the user's own in Keras knows which is which."""
    start = keras.Input((4,))
    one, two = kl.Dense(4, name="value")(start), kl.Dense(4, name="gate")(start)
    return keras.Model(start, kl.Lambda(lambda both: both[0] / (1 + both[1] ** 2))([one, two]))


class Gate(linen.Module):
    @linen.compact
    def __call__(self, x):
        second = nn.Dense(4, name="g")(x)
        return nn.Dense(4, name="v")(x) / (1 + second**2)


def test_rename_says_which_is_which():
    model = random_model(gate)
    with pytest.raises(UserError, match="rename="):
        from_keras(model, Gate())
    rename = {"value": "v", "gate": "g"}
    found = from_keras(model, Gate(), rename=rename)
    assert_loaded(found, "v", model.get_layer("value"))
    pairing = pair_layers(model, Gate(), rename={"gate": "g"})  # the other follows
    assert pairing.names == rename
    assert dict(zip((leaf.name for leaf, _ in pairing.pairs), pairing.by, strict=True))["gate"] == "rename"
    doubled = jax.tree.map(lambda a: 2 * a, found)
    to_keras(doubled, Gate(), model, rename=rename)
    assert_loaded(doubled, "g", model.get_layer("gate"))


@pytest.mark.parametrize(
    "rename, words",
    [
        ({"valve": "v"}, r"has no layer 'valve' with weights \(did you mean value\?\): it has value, gate"),
        ({"value": "w"}, "Gate has no layer 'w' with variables: it has g, v"),
        ({"value": "v", "gate": "v"}, "'v' is named twice"),
        ({"": "v"}, "has no layer ''"),
    ],
)
def test_renames_are_checked(rename, words):
    with pytest.raises(UserError, match=words):
        pair_layers(random_model(gate), Gate(), rename=rename)


def test_a_rename_to_another_shape_is_refused():
    with pytest.raises(UserError, match=r"rename: a \(6, 8\) \(8,\) of .* does not fit z \(8, 3\) \(3,\)"):
        pair_layers(chain("a", "b", "c"), dense_chain("x", "y", "z"), rename={"a": "z"})


def test_the_pairs_are_shown():
    pairing = pair_layers(chain("a", "b", "c"), dense_chain("a", "y", "c"))
    lines = [" ".join(line.split()) for line in str(pairing).splitlines()]
    assert sorted(lines[1:]) == [
        "a a (Dense) (6, 8) (8,) name",
        "b y (Dense) (8, 8) (8,) structure",
        "c c (Dense) (8, 3) (3,) name",
    ]
    assert pairing.names == {"a": "a", "b": "y", "c": "c"}
    left = pair_layers(chain("a", "b", "c"), dense_chain("a", "b", widths=(8, 8)), ignore=["c"])
    assert left.left_out == ["c"]
    assert "not taken from the Keras model" in str(left)


def two_inputs():
    image, size = keras.Input((6, 6, 1), name="image"), keras.Input((3,), name="size")
    x = kl.Flatten()(kl.Conv2D(2, 3, activation="relu")(image))
    x = kl.Concatenate()([x, kl.Dense(4, activation="tanh")(size)])
    return keras.Model([image, size], [kl.Dense(2)(x), kl.Dense(3)(x)])


def _two(image, size):
    x = nn.flatten(linen.relu(nn.Conv(2, 3)(image)))
    x = jnp.concatenate([x, linen.tanh(nn.Dense(4)(size))], -1)
    return nn.Dense(2)(x), nn.Dense(3)(x)


class Arguments(linen.Module):
    @linen.compact
    def __call__(self, image, size, train=False):
        return _two(image, size)


class Dict(linen.Module):
    @linen.compact
    def __call__(self, inputs):
        return _two(inputs["image"], inputs["size"])


class List(linen.Module):
    @linen.compact
    def __call__(self, inputs):
        return _two(*inputs)


class Swapped(linen.Module):
    """It does not do with the second input what Keras does."""

    @linen.compact
    def __call__(self, image, size):
        return _two(image, jnp.abs(size))


@pytest.mark.parametrize("kind", [Arguments, Dict, List])
def test_several_inputs_are_given_as_the_module_takes_them(kind, tmp_path):
    model = random_model(two_inputs)
    rng = np.random.default_rng(0)
    image, size = rng.normal(size=(2, 6, 6, 1)).astype("f"), rng.normal(size=(2, 3)).astype("f")
    given = {Arguments: (image, size), Dict: ({"image": image, "size": size},), List: ([image, size],)}[kind]
    shapes = {
        Arguments: ((6, 6, 1), (3,)), Dict: {"size": (3,), "image": (6, 6, 1)}, List: [(6, 6, 1), (3,)],
    }[kind]  # fmt: skip
    with jax.numpy_rank_promotion("allow"):
        expected = model([image, size], training=False)
    model.save(tmp_path / "net.keras")
    model.save_weights(tmp_path / "net.weights.h5")
    for source, shape in (
        (model, None),
        (tmp_path / "net.keras", None),
        (tmp_path / "net.weights.h5", shapes),
    ):
        found = kind().apply(from_keras(source, kind(), shape), *given)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    variables = from_keras(model, kind())
    save_keras_weights(tmp_path / "back.keras", variables, kind(), like=tmp_path / "net.keras")


def test_several_inputs_are_compared_with_the_configuration():
    model = random_model(two_inputs)
    with pytest.raises(UserError, match="does not compute"):
        from_keras(model, Swapped())
    with pytest.raises(UserError, match=r"takes the inputs of .*, image \(6, 6, 1\), size \(3,\), neither"):
        from_keras(model, Net(nn.Dense(2)))


class Mixed(linen.Module):
    """Flax's own layers among ours, by name where Keras's names are theirs and by structure elsewhere."""

    @linen.compact
    def __call__(self, x, train=False):
        x = linen.relu(linen.Conv(4, (3, 3), name="first")(x))
        x = nn.Conv(4, 3, padding="same")(x)
        x = linen.BatchNorm(use_running_average=not train, epsilon=1e-3, momentum=0.99)(x)
        x = linen.LayerNorm(epsilon=1e-3, use_fast_variance=False)(nn.max_pool(x, 2))
        x = linen.tanh(linen.Dense(5)(nn.flatten(x)))
        return nn.Dense(3, name="answer")(x)


def test_layers_of_flax_may_be_mixed_in():
    def make():
        return keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                kl.Conv2D(4, 3, padding="same", activation="relu", name="first"),
                kl.Conv2D(4, 3, padding="same"),
                kl.BatchNormalization(),
                kl.MaxPooling2D(2),
                kl.LayerNormalization(),
                kl.Flatten(),
                kl.Dense(5, activation="tanh"),
                kl.Dense(3, name="answer"),
            ]
        )

    model = random_model(make)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("f")
    with jax.numpy_rank_promotion("allow"):
        expected = model(x, training=False)
        found = Mixed().apply(from_keras(model, Mixed()), x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
