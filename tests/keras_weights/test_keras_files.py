"""Files from all times, read without Keras; what is damaged or does not fit is said in one sentence."""

import subprocess
import sys
import textwrap
import zipfile

import h5py
import jax
import keras
import numpy as np
import pytest
from flax import linen
from keras_pairs import PAIRS, random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*HDF5 file.*"),
]


class Small(linen.Module):
    """Two layers named as in `small()`."""

    width: int = 5
    head: bool = True

    @linen.compact
    def __call__(self, x):
        x = nn.Dense(self.width, name="first")(x)
        return nn.Dense(2, name="second")(x) if self.head else x


def small():
    dense = keras.layers.Dense
    stack = [keras.Input((3,)), dense(5, name="first"), dense(2, name="second")]
    return random_model(lambda: keras.Sequential(stack, name="small"))


def make(name, seed=0):
    return random_model(PAIRS[name].keras_model, seed)


def strip_names(path):
    """A .weights.h5 as Keras before 3.6 wrote it."""
    with h5py.File(path, "r+") as file:
        file.visititems(lambda name, item: item.attrs.pop("name", None) and None)


def legacy_file(path, layers, **attributes):
    """Written by hand: layer name -> [(weight name, array)]."""
    with h5py.File(path, "w") as file:
        names = [name.encode() for name in layers]
        if attributes.get("chunked"):  # attributes that are too long for HDF5 are cut in pieces
            file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:1], names[1:]
        else:
            file.attrs["layer_names"] = names
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight, _ in weights]
            for weight, array in weights:
                group[weight] = array


def leaves_equal(a, b):
    return jax.tree.all(jax.tree.map(lambda u, v: bool(np.array_equal(u, v)), a, b))


@pytest.mark.parametrize("name", ["recurrent", "inception"])
def test_nameless_files_of_early_keras_3(name, tmp_path):
    pair, model = PAIRS[name], make(name)
    expected = from_keras(model, pair.module)
    model.save_weights(tmp_path / "old.weights.h5")
    strip_names(tmp_path / "old.weights.h5")
    if name == "recurrent":
        assert leaves_equal(from_keras(tmp_path / "old.weights.h5", pair.module, pair.input_shape), expected)
    else:  # listed by depth, and no trace of the order of branches
        with pytest.raises(UserError, match="does not fit"):
            from_keras(tmp_path / "old.weights.h5", pair.module, pair.input_shape)


def test_nameless_subclassed_file_is_not_guessed(tmp_path):
    pair, model = PAIRS["subclassed"], make("subclassed")
    model.save_weights(tmp_path / "old.weights.h5")
    strip_names(tmp_path / "old.weights.h5")
    with pytest.raises(UserError, match="does not say which comes first"):
        from_keras(tmp_path / "old.weights.h5", pair.module, pair.input_shape)


def test_state_of_optimizer_and_metrics_is_no_layer(tmp_path):
    model = small()
    model.compile("adam", "mse", metrics=["mae"])
    with jax.numpy_rank_promotion("allow"):
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    expected = from_keras(model, Small())
    for name in ("model.keras", "model.weights.h5", "model.h5"):
        (model.save_weights if "weights" in name else model.save)(tmp_path / name)
        assert leaves_equal(from_keras(tmp_path / name, Small(), (3,)), expected)


def test_names_of_keras_2_and_before(tmp_path):
    rng = np.random.default_rng(0)
    kernel, depth, point = (
        rng.normal(size=s).astype("f") for s in [(3, 3, 2, 4), (3, 3, 4, 1), (1, 1, 4, 5)]
    )
    bias, *norm = (rng.normal(size=5).astype("f") for _ in range(5))

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = nn.Conv(4, 3, use_bias=False, name="conv")(x)
            x = nn.DepthwiseConv(3, use_bias=False, name="depth")(x)
            x = nn.SeparableConv(5, 3, name="separable")(x)
            return nn.BatchNorm(name="norm")(x, False)

    layers = {
        "input_1": [],
        "conv2d_7": [("conv2d_7_W:0", kernel)],
        "depthwise_conv2d_1": [("depthwise_conv2d_1/depthwise_kernel:0", depth)],
        "separable_conv2d_3": [
            ("separable_conv2d_3/bias:0", bias),  # not in Keras 3's order
            ("separable_conv2d_3/depthwise_kernel:0", depth),
            ("separable_conv2d_3/pointwise_kernel:0", point),
        ],
        "batch_normalization_2": [
            (f"batch_normalization_2/{name}:0", array)
            for name, array in zip(["gamma", "beta", "moving_mean", "moving_variance"], norm, strict=True)
        ],
    }
    for chunked in (False, True):
        legacy_file(tmp_path / "old.h5", layers, chunked=chunked)
        variables = from_keras(tmp_path / "old.h5", Net(), (9, 9, 2))
        np.testing.assert_array_equal(variables["params"]["conv"]["kernel"], kernel)
        np.testing.assert_array_equal(variables["params"]["depth"]["kernel"], depth)
        assert leaves_equal(
            variables["params"]["separable"],
            {"bias": bias, "depthwise_kernel": depth, "pointwise_kernel": point},
        )
        assert leaves_equal(variables["params"]["norm"], {"scale": norm[0], "bias": norm[1]})
        assert leaves_equal(variables["batch_stats"]["norm"], {"mean": norm[2], "var": norm[3]})


def test_names_agree_whatever_the_order(tmp_path):
    rng = np.random.default_rng(0)
    one, two = (rng.normal(size=(4, 4)).astype("f") for _ in range(2))

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = nn.Dense(4, use_bias=False, name="a")(x)
            return nn.Dense(4, use_bias=False, name="b")(x)

    legacy_file(tmp_path / "named.h5", {"b": [("b/kernel:0", two)], "a": [("a/kernel:0", one)]})
    variables = from_keras(tmp_path / "named.h5", Net(), (4,))
    assert leaves_equal(variables["params"], {"a": {"kernel": one}, "b": {"kernel": two}})


def test_every_misfit_is_listed_at_once():
    model = small()
    with pytest.raises(UserError) as error:
        from_keras(model, Small(width=6))
    assert str(error.value) == (
        "the Keras model 'small' does not fit Small: misshapen: first (3, 5) (5,) for first (3, 6) (6,),"
        " second (5, 2) (2,) for second (6, 2) (2,)"
    )
    with pytest.raises(UserError, match=r"left over: second \(5, 2\) \(2,\); if they are not wanted"):
        from_keras(model, Small(head=False))
    with pytest.raises(UserError) as error:
        from_keras(model, nn.Conv(4, 3), (8, 8, 1))
    assert str(error.value) == (
        "the Keras model 'small' does not fit Conv: missing:  (3, 3, 1, 4) (4,);"
        " left over: first (3, 5) (5,), second (5, 2) (2,)"
    )


def test_shape_of_inputs_must_be_known(tmp_path):
    small().save_weights(tmp_path / "small.weights.h5")
    with pytest.raises(UserError, match="does not contain the shape of its inputs: give input_shape="):
        from_keras(tmp_path / "small.weights.h5", Small())
    small().save(tmp_path / "small.keras")
    assert from_keras(tmp_path / "small.keras", Small())["params"]["first"]["kernel"].shape == (3, 5)


def test_what_is_no_keras_file(tmp_path):
    def refused(path, words):
        with pytest.raises(UserError, match=words) as error:
            from_keras(path, Small(), (3,))
        assert "\n" not in str(error.value)

    refused(tmp_path / "none.h5", "there is no file")
    (tmp_path / "text.h5").write_text("not weights")
    refused(tmp_path / "text.h5", "is not a Keras file")
    (tmp_path / "empty.keras").write_bytes(b"")
    refused(tmp_path / "empty.keras", "is not a Keras file")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    refused(tmp_path / "other.zip", "without config.json and model.weights.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["temperature"] = np.ones(3)
    refused(tmp_path / "foreign.h5", "holds no Keras weights")
    refused(3, "neither a Keras model nor the path of a file")
    refused(keras.Sequential([keras.layers.Dense(3)]), "has no weights yet")


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5", "model.h5"])
def test_truncated_files(name, tmp_path):
    model = small()
    (model.save_weights if "weights" in name else model.save)(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for length in (len(content) // 4, len(content) // 2, len(content) - 8):
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(UserError, match=r"is damaged or incomplete|is not a Keras file") as error:
            from_keras(tmp_path / name, Small(), (3,))
        assert "\n" not in str(error.value)


def test_files_are_read_where_keras_is_not_installed(tmp_path):
    model = small()
    for name in ("model.keras", "model.weights.h5", "model.h5"):
        (model.save_weights if "weights" in name else model.save)(tmp_path / name)
    np.save(tmp_path / "kernel.npy", model.layers[0].get_weights()[0])
    code = """
        import sys
        for absent in ("keras", "tensorflow", "tf_keras"):
            sys.modules[absent] = None  # importing it raises ImportError
        import numpy as np
        from flax import linen
        from jaxnets.keras_weights import from_keras, save_keras_weights
        module = linen.Sequential([linen.Dense(5), linen.Dense(2)])
        for name in ("model.keras", "model.weights.h5", "model.h5"):
            variables = from_keras(f"{sys.argv[1]}/{name}", module, (3,))
            kernel = variables["params"]["layers_0"]["kernel"]
            assert np.array_equal(kernel, np.load(f"{sys.argv[1]}/kernel.npy")), name
        save_keras_weights(f"{sys.argv[1]}/back.weights.h5", variables, module, (3,))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True, timeout=120)
    again = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    again.load_weights(tmp_path / "back.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), model.get_weights(), strict=True))
