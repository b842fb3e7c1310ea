"""A weight file is read without trust: no other file is opened, and nothing is read that does not fit."""

import io
import json
import resource
import zipfile

import h5py
import keras
import numpy as np
import pytest
from flax import linen
from keras_pairs import random_model

from jaxnets import files, nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras

KERNEL = np.arange(8, dtype="f").reshape(4, 2)
BIAS = np.array([9, 10], "f")


def refused(path, words, module=None, shape=(4,)):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=words) as error:
        from_keras(path, module or nn.Dense(2), shape)
    assert "\n" not in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.fixture
def hostile(tmp_path):
    """A file with a good bias, whose kernel the test writes."""
    path = tmp_path / "hostile.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["1"] = BIAS
        yield path, group


def close(group):
    group.file.close()


def other_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["k"] = KERNEL
    return str(tmp_path / "other.h5")


def test_values_in_another_file_are_never_read(hostile, tmp_path):
    path, group = hostile
    (tmp_path / "secret").write_bytes(b"a password, and other things too")
    group.create_dataset("0", shape=(4, 2), dtype="<f4", external=[(str(tmp_path / "secret"), 0, 32)])
    close(group)
    refused(path, "/layers/dense/vars/0 in .* is stored in another file")


def test_virtual_datasets_are_never_read(hostile, tmp_path):
    path, group = hostile
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource(other_file(tmp_path), "k", (4, 2))
    group.create_virtual_dataset("0", layout)
    close(group)
    refused(path, "is stored in another file")


@pytest.mark.parametrize("kind", ["external", "soft", "external group", "soft group"])
def test_links_are_never_followed(kind, hostile, tmp_path):
    path, group = hostile
    if kind == "external":
        group["0"] = h5py.ExternalLink(other_file(tmp_path), "k")
    elif kind == "soft":
        group["0"], group.file["elsewhere"] = h5py.SoftLink("/elsewhere"), KERNEL
    else:
        group["0"] = KERNEL
        external = h5py.ExternalLink(other_file(tmp_path), "/")
        group.file["_another"] = h5py.SoftLink("/layers") if kind == "soft group" else external
    close(group)
    refused(path, "has the (Soft|External)Link '(0|_another)' to another place or file")


def test_links_in_legacy_files_are_never_followed(tmp_path):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        group["dense"] = h5py.ExternalLink(other_file(tmp_path), "/")
    refused(tmp_path / "old.h5", "has the ExternalLink 'dense'")


def test_groups_in_circles_and_groups_that_double(hostile, tmp_path):
    path, group = hostile
    group["0"], group.file["layers/dense/again"] = KERNEL, group.file["layers"]
    close(group)
    refused(path, "is linked from two places")
    with h5py.File(path, "w") as file:
        inner = file.create_group("layers/dense/vars")
        inner["0"], inner["1"] = KERNEL, BIAS
        for depth in range(40):  # 2 ** 40 ways to the innermost group
            outer = file.create_group(f"level{depth}")
            outer["a"] = outer["b"] = inner
            inner = outer
    refused(path, "is linked from two places")


def test_groups_without_end(hostile):
    path, group = hostile
    group["0"] = KERNEL
    group.file.create_group("a" + "/a" * 200)
    close(group)
    refused(path, "lies more than 64 groups deep")


def test_names_that_would_break_a_message_in_lines(hostile):
    path, group = hostile
    group["0"], group.file["layers/dense/a\nb"] = KERNEL, KERNEL
    close(group)
    refused(path, r"/layers/dense in .* has the name 'a\\nb' in it")


def test_shapes_are_compared_before_anything_is_read(hostile):
    path, group = hostile
    group.create_dataset("0", shape=(200_000, 200_000), dtype="f4", chunks=(1000, 1000))
    close(group)
    refused(path, r"misshapen: dense \(200000, 200000\) \(2,\)")


def test_what_was_never_written_or_unpacks_to_more(hostile):
    path, group = hostile
    group.create_dataset("0", shape=(4, 2), dtype="f4", chunks=(4, 2), compression="gzip")
    group.file.flush()
    refused(path, "0 in .* has values that were never written")
    del group["0"]
    large = {"chunks": (1 << 15, 1 << 14), "maxshape": (None, None), "compression": "gzip"}  # 2 GB
    group.create_dataset("0", shape=(4, 2), dtype="f4", **large)
    group.file.flush()
    refused(path, "0 in .* is stored in pieces larger than the whole")
    del group["0"]
    group.create_dataset("0", data=KERNEL, chunks=(2, 1), compression="gzip", shuffle=True)
    close(group)
    variables = from_keras(path, nn.Dense(2), (4,))  # packed, and honest
    np.testing.assert_array_equal(variables["params"]["kernel"], KERNEL)


def dense():
    stack = [keras.Input((4,)), keras.layers.Dense(2)]
    return random_model(lambda: keras.Sequential(stack))


def repack(path, **replaced):
    """Writes a zip again, compressed, with other contents."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (contents | replaced).items():
            archive.writestr(name, content)


def test_a_zip_that_explodes(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "UNPACKED", 1 << 22)
    dense().save(tmp_path / "bomb.keras")
    repack(tmp_path / "bomb.keras")
    expected = from_keras(tmp_path / "bomb.keras", nn.Dense(2))  # packed, and honest
    assert expected["params"]["kernel"].shape == (4, 2)
    repack(tmp_path / "bomb.keras", **{"model.weights.h5": bytes(5 << 20)})
    refused(tmp_path / "bomb.keras", "model.weights.h5 in .* would unpack from .* bytes to 5,242,880")


@pytest.mark.parametrize(
    "config, words",
    [
        (b"[" * 100_000, "config.json in .* cannot be read as JSON"),
        (b" " * (1 << 25), "has more than 16,777,216 bytes"),
        (b"\xff\xfe{}", "cannot be read as JSON"),
        (b"null", "does not say which|does not contain the shape|holds no Keras weights"),
        (b'{"config": {"layers": [3]}}', "a configuration that is no model's: a layer in it is 3"),
        (b'{"config": {"layers": [{"class_name": "A", "config": {"name": "a\\nb"}}]}}', "is no model's"),
        (b'{"config": {"layers": [{"class_name": 3}]}}', "a configuration that is no model's"),
        (b'{"config": {"layers": [{"class_name": "A", "config": {"name": []}}]}}', "is no model's"),
    ],
)
def test_a_configuration_that_is_none(config, words, tmp_path):
    dense().save(tmp_path / "wrong.keras")
    repack(tmp_path / "wrong.keras", **{"config.json": config})
    refused(tmp_path / "wrong.keras", words, shape=None)


@pytest.mark.parametrize("shape", [[None, "a"], [None, -4], [None, 10**9, 10**9], {"x": [None, 1e9]}])
def test_a_shape_of_inputs_that_none_can_have(shape, tmp_path):
    dense().save(tmp_path / "wrong.keras")
    with zipfile.ZipFile(tmp_path / "wrong.keras") as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][0]["config"]["batch_shape"] = shape
    repack(tmp_path / "wrong.keras", **{"config.json": json.dumps(config)})
    refused(tmp_path / "wrong.keras", "has no possible shape of inputs", shape=None)


def test_models_in_models_without_end(tmp_path):
    dense().save(tmp_path / "deep.keras")
    config = {"class_name": "Dense", "config": {"name": "dense"}}
    for _ in range(100):
        config = {"class_name": "Sequential", "config": {"name": "a", "layers": [config]}}
    repack(tmp_path / "deep.keras", **{"config.json": json.dumps(config)})
    refused(tmp_path / "deep.keras", "is no model's")


def test_attributes_without_end(tmp_path):
    with h5py.File(tmp_path / "names.h5", "w", libver="latest") as file:
        space = h5py.h5s.create_simple((100_000,))
        h5py.h5a.create(file.id, b"layer_names", h5py.h5t.C_S1.copy(), space)
    refused(tmp_path / "names.h5", "has more than 65,536 bytes of layer_names")


def test_names_with_the_backslashes_of_windows_are_read(tmp_path):
    model = dense()
    model.save(tmp_path / "good.keras")
    expected = from_keras(tmp_path / "good.keras", nn.Dense(2))
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:  # as early Keras wrote it there
        stored = file.create_group("layers\\dense").create_group("vars")
        stored["0"], stored["1"] = model.get_weights()
    repack(tmp_path / "good.keras", **{"model.weights.h5": weights.getvalue()})
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "windows.keras", "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name.replace("/", "\\")), content)
    read = from_keras(tmp_path / "windows.keras", nn.Dense(2))
    np.testing.assert_array_equal(read["params"]["kernel"], expected["params"]["kernel"])


def test_other_programs_files_are_called_by_their_names(tmp_path):
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"\x08\x01")
    refused(saved, r"saved' is a SavedModel of TensorFlow, .*: load it with Keras 2, tf_keras.models.load")
    refused(saved / "saved_model.pb", "is part of a SavedModel")
    for name in ("checkpoint", "cp.ckpt.index", "cp.ckpt.data-00000-of-00001"):
        (tmp_path / name).write_bytes(b"x")
        refused(tmp_path / name, "is a checkpoint of TensorFlow, which only Keras 2")
    refused(tmp_path / "cp.ckpt", "is a checkpoint of TensorFlow")
    refused(tmp_path, "is a checkpoint of TensorFlow")
    (tmp_path / "unzipped").mkdir()
    (tmp_path / "unzipped" / "model.weights.h5").write_bytes(b"x")
    refused(tmp_path / "unzipped", "is a folder: give the file '.*model.weights.h5'")
    (saved / "saved_model.pb").unlink()
    refused(saved, "is a folder: give a .keras")
    for name, content, words in [
        ("a.h5", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer .*: fetch it"),
        ("b.h5", b"<!DOCTYPE html><html>", "is a web page"),
        ("c.tflite", b"\x1c\0\0\0TFL3", "is a model for TensorFlow Lite"),
        ("d.json", b"{}", "has a model's architecture but no weights"),
        ("e.h5.gz", b"\x1f\x8b\x08", "is packed with gzip: unpack it first"),
    ]:
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, words)
    for member, words in [
        ("model/data.pkl", "is a file of PyTorch"),
        ("kernel.npy", r"\(.npz\)"),
        ("model.weights.npz", "has its weights in NumPy's format"),
        ("net/model.weights.h5", "is a zip of the folder net: zip the files in it"),
        ("saved_model.pb", "SavedModel of TensorFlow|has a SavedModel"),
    ]:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr(member, b"")
        refused(tmp_path / "x.zip", words)


def test_a_file_in_parts(tmp_path):
    stack = [keras.Input((30,)), keras.layers.Dense(30), keras.layers.Dense(30)]
    model = random_model(lambda: keras.Sequential(stack))
    model.save_weights(tmp_path / "big.weights.json", max_shard_size=5e-6)
    parts = sorted(path.name for path in tmp_path.glob("*.h5"))
    assert len(parts) > 1
    module = linen.Sequential([nn.Dense(30), nn.Dense(30)])
    variables = from_keras(tmp_path / "big.weights.json", module, (30,))
    read = [variables["params"][f"layers_{i}"][role] for i in range(2) for role in ("kernel", "bias")]
    for ours, theirs in zip(read, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    refused(tmp_path / parts[0], "is one part of several: give '.*big.weights.json'", module, (30,))
    (tmp_path / parts[1]).rename(tmp_path / "away.h5")
    refused(tmp_path / "big.weights.json", f"needs '{parts[1]}', which is not beside it", module, (30,))
    (tmp_path / "folder").mkdir()
    index = json.loads((tmp_path / "big.weights.json").read_text())
    for name in ("../big_00000.weights.h5", str(tmp_path / parts[0]), "..", "link.weights.h5"):
        (tmp_path / "folder" / "link.weights.h5").unlink(missing_ok=True)
        (tmp_path / "folder" / "link.weights.h5").symlink_to(tmp_path / parts[0])
        index["weight_map"] = {"/layers/dense/vars": [name]}
        (tmp_path / "folder" / "big.weights.json").write_text(json.dumps(index))
        refused(tmp_path / "folder" / "big.weights.json", "which is not in its folder", module, (30,))
    for text in ("[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', '{"weight_map": {}}', "{"):
        (tmp_path / "big.weights.json").write_text(text)
        refused(tmp_path / "big.weights.json", "no index|damaged|as JSON|holds no Keras", module, (30,))
