"""Exported networks give the same numbers elsewhere: in a process without jaxnets, and in ONNX Runtime."""

import re
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest
from flax import linen
from safetensors.numpy import load_file, save_file

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.export import (
    FORMATS,
    _text,
    export_onnx,
    export_safetensors,
    export_stablehlo,
    export_text,
    load_safetensors,
)
from jaxnets.models import INPUT_SHAPES, MODELS


class Tiny(linen.Module):
    """One of each: convolution, normalization, both pools, dropout, dense."""

    @linen.compact
    def __call__(self, x, train=False):
        x = nn.Conv(3, 3, padding="same", name="second_by_alphabet")(x)
        x = linen.relu(nn.BatchNorm(name="norm")(x, train))
        x = nn.avg_pool(nn.max_pool(x, 2), 3, 1, "same")
        x = nn.Dropout(0.5)(x, train)
        return nn.Dense(2, name="head")(x.reshape(x.shape[0], -1))


def random_variables(module, shape, seed=0):
    rng = np.random.default_rng(seed)
    abstract = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), np.float32))
    return jax.tree.map(lambda a: np.abs(rng.normal(size=a.shape).astype(a.dtype)), abstract)


@pytest.fixture(scope="module")
def tiny():
    return Tiny(), random_variables(Tiny(), (6, 6, 1)), (6, 6, 1)


def test_safetensors_round_trip_is_exact(tiny, tmp_path):
    export_safetensors(tmp_path / "deep" / "tiny.safetensors", *tiny)
    read = load_safetensors(tmp_path / "deep" / "tiny.safetensors")
    assert jax.tree.structure(read) == jax.tree.structure(tiny[1])
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b) and a.dtype == b.dtype, read, tiny[1]))
    raw = load_file(
        tmp_path / "deep" / "tiny.safetensors"
    )  # by the format's own library, no jaxnets in between
    np.testing.assert_array_equal(raw["batch_stats/norm/var"], tiny[1]["batch_stats"]["norm"]["var"])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["tiny.safetensors"]


def test_safetensors_that_cannot_be_read(tiny, tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        load_safetensors(tmp_path / "none.safetensors")
    export_safetensors(tmp_path / "tiny.safetensors", *tiny)
    content = (tmp_path / "tiny.safetensors").read_bytes()
    for damaged in (b"", content[:5], content[:-4], b"text" * 20):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(UserError, match="is not a complete safetensors file"):
            load_safetensors(tmp_path / "damaged")


RUN_STABLEHLO = """
    import sys
    sys.modules["jaxnets"] = None  # importing it raises ImportError
    import numpy as np
    from jax import export
    run = export.deserialize(bytearray(open("net.stablehlo", "rb").read())).call
    for batch in (1, 5):
        np.save(f"y{batch}.npy", run(np.load(f"x{batch}.npy")))
"""


@pytest.mark.parametrize("name", ["tiny", "letters_4to1_embedding"])
def test_stablehlo_runs_without_jaxnets_at_any_batch_size(name, tiny, tmp_path):
    module, variables, shape = tiny
    if name != "tiny":
        module, shape = MODELS[name](), INPUT_SHAPES[name]
        variables = random_variables(module, shape)
    export_stablehlo(tmp_path / "net.stablehlo", module, variables, shape)
    inputs = {}
    for batch in (1, 5):
        inputs[batch] = np.random.default_rng(batch).integers(0, 20, (batch, *shape)).astype(np.float32)
        np.save(tmp_path / f"x{batch}.npy", inputs[batch])
    code = [sys.executable, "-I", "-c", textwrap.dedent(RUN_STABLEHLO)]
    subprocess.run(code, cwd=tmp_path, check=True, timeout=120)
    for batch, x in inputs.items():
        expected = jax.jit(module.apply)(variables, x)
        np.testing.assert_allclose(np.load(tmp_path / f"y{batch}.npy"), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # the converter's own
@pytest.mark.parametrize("name", ["tiny", "letters_4to1_embedding", "stock_gru", "stock_lstm"])
def test_onnx_runtime_gives_the_same_numbers_at_any_batch_size(name, tiny, tmp_path):
    pytest.importorskip("jax2onnx", reason="needs the extra jaxnets[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra jaxnets[onnx]")
    module, variables, shape = tiny
    if name != "tiny":
        module, shape = MODELS[name](), INPUT_SHAPES[name]
        variables = random_variables(module, shape)
    with jax.numpy_rank_promotion("allow"):
        export_onnx(tmp_path / "net.onnx", module, variables, shape)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert [output.name for output in session.get_outputs()] == ["y"]
    for batch in (1, 5):
        x = np.random.default_rng(batch).integers(0, 20, (batch, *shape)).astype(np.float32)
        (y,) = session.run(None, {"x": x})
        np.testing.assert_allclose(y, jax.jit(module.apply)(variables, x), rtol=1e-5, atol=1e-5)


class Several(linen.Module):
    """A dict of outputs, one of which is the input."""

    @linen.compact
    def __call__(self, x):
        return {"b": nn.Dense(2)(x), "a": nn.Dense(3)(x), "c": x}


@pytest.mark.filterwarnings("ignore")  # the converter's own
def test_onnx_outputs_are_named_in_order(tmp_path):
    pytest.importorskip("jax2onnx", reason="needs the extra jaxnets[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra jaxnets[onnx]")
    variables = random_variables(Several(), (4,))
    with jax.numpy_rank_promotion("allow"):
        export_onnx(tmp_path / "net.onnx", Several(), variables, (4,))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert [output.name for output in session.get_outputs()] == ["y", "y_1", "y_2"]
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    wanted = jax.tree.leaves(Several().apply(variables, x))
    for one, other in zip(session.run(None, {"x": x}), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_onnx_without_the_converter_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r"-m pip install 'jax2onnx>="):
        export_onnx(tmp_path / "net.onnx", *tiny)
    assert not list(tmp_path.iterdir())


def test_safetensors_of_another_program(tmp_path):
    save_file({"a": np.ones(2), "a/b": np.ones(3)}, tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match="has an array a/b below another"):
        load_safetensors(tmp_path / "odd.safetensors")


def test_text_of_a_million_numbers_is_exact(tmp_path):
    module = nn.Dense(1000)
    values = np.random.default_rng(0).normal(size=(1000, 1000)).astype(np.float32)
    values *= np.float32(10) ** np.arange(-20, 20, dtype=np.float32).repeat(25)
    variables = {"params": {"kernel": values, "bias": np.float32([np.inf, -np.inf, np.nan, *range(997)])}}
    export_text(tmp_path / "weights.txt", module, variables, (1000,))
    kernel, bias = (tmp_path / "weights.txt").read_text().split("bias\n(1000,)\n")
    read = [part.replace("[", " ").replace("]", " ").split() for part in (kernel.split(")\n")[1], bias)]
    np.testing.assert_array_equal(np.array(read[0], np.float32).reshape(1000, 1000), values)
    np.testing.assert_array_equal(np.array(read[1], np.float32), variables["params"]["bias"])


@pytest.mark.parametrize("shape", [(300_000, 1), (1, 300_000), (100, 30, 100), (3, 2, 70_000)])
def test_text_of_any_shape_is_written_many_numbers_at_a_time(shape):
    """A call of Python's for every number or row is what made large networks take minutes."""
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        text = "".join(_text(values, "%.9g"))
    finally:
        sys.setprofile(None)
    assert calls < 1000
    assert text == bracketed(values)


def bracketed(values):
    """The definition, one number after the other."""
    if values.ndim == 0:
        return f"{float(values):.9g}"
    return "[" + ("\n " if values.ndim > 1 else " ").join(map(bracketed, values)) + "]"


def test_text_lists_every_trainable_array_in_call_order(tiny, tmp_path):
    export_text(tmp_path / "weights.txt", *tiny)
    text = (tmp_path / "weights.txt").read_text()
    params = tiny[1]["params"]
    heads = re.findall(r"^([a-z_/]+)\n(\(.*\))$", text, re.MULTILINE)
    assert heads == [
        ("second_by_alphabet/kernel", "(3, 3, 1, 3)"),
        ("second_by_alphabet/bias", "(3,)"),
        ("norm/scale", "(3,)"),
        ("norm/bias", "(3,)"),
        ("head/kernel", "(27, 2)"),
        ("head/bias", "(2,)"),
    ]
    assert "..." not in text
    values = text.split("(27, 2)\n")[1].split("head/bias")[0]
    read = np.array(values.replace("[", " ").replace("]", " ").split(), np.float32)
    np.testing.assert_array_equal(read.reshape(27, 2), params["head"]["kernel"])


def test_a_place_that_cannot_be_written_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "net.safetensors", tmp_path / "folder"):
        with pytest.raises(UserError, match=f"cannot write {path} "):
            export_safetensors(path, *tiny)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_formats_are_listed():
    assert list(FORMATS) == ["safetensors", "stablehlo", "onnx", "text"]
