"""Keras files become runs that predict, evaluate, export and start others; the numbers are Keras's own."""

import json

import jax
import keras
import numpy as np
import pytest
from PIL import Image

from experiments.train import main as train
from jaxnets import data, export
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras
from jaxnets.runs import load_run
from jaxnets.runs.start import import_keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, saving


@pytest.fixture(scope="module")
def lenet():
    """Keras's LeNet-5 with random weights, and its probabilities of the held-out digits."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def in_keras(model, x) -> np.ndarray:
    with jax.numpy_rank_promotion("allow"):  # Keras broadcasts biases without saying so
        return np.asarray(model(x))


def test_a_keras_file_predicts_and_evaluates_as_in_keras(lenet, run, tmp_path):
    held_out = data.load("digits").test
    x, y = held_out.x / np.float32(255), held_out.y
    expected = in_keras(lenet, x)
    lenet.save(tmp_path / "lenet.keras")
    where = ("--model", "lenet5", "--workdir", tmp_path / "run", "--dataset", "digits")
    code, out, err = run("import-keras", tmp_path / "lenet.keras", *where)
    assert code == 0, err
    assert out.startswith("61,706 parameters of")

    np.testing.assert_allclose(load_run(tmp_path / "run").probabilities(held_out.x), expected, rtol=1e-4)
    found = json.loads(run("evaluate", tmp_path / "run", "--json")[1])
    assert found["accuracy"] == pytest.approx((expected.argmax(-1) == y).mean())
    assert found["loss"] == pytest.approx(-np.log(expected[np.arange(len(y)), y]).mean(), rel=1e-4)

    Image.fromarray(held_out.x[0, ..., 0]).save(tmp_path / "digit.png")
    (answer,) = json.loads(run("predict", tmp_path / "run", tmp_path / "digit.png", "--json")[1])
    assert [int(guess["label"]) for guess in answer["guesses"]] == np.argsort(-expected[0])[:3].tolist()

    code, out, err = run(
        "export", tmp_path / "run", "--format", "keras", "--out", tmp_path / "back.weights.h5"
    )
    assert code == 0, err
    before = lenet.get_weights()
    lenet.load_weights(tmp_path / "back.weights.h5")
    for one, other in zip(before, lenet.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_skeleton_is_printed_and_what_is_left_is_said(lenet, run, tmp_path):
    lenet.save(tmp_path / "lenet.keras")
    code, out, err = run("skeleton", tmp_path / "lenet.keras")
    assert (code, err) == (0, "")
    names = {}
    exec(out, names)
    variables = from_keras(tmp_path / "lenet.keras", names["Net"]())
    x = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype(np.float32)
    np.testing.assert_allclose(names["Net"]().apply(variables, x), in_keras(lenet, x), rtol=1e-4, atol=1e-6)
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(abs, name="own")]).save(
        tmp_path / "lambda.keras"
    )
    code, out, err = run("skeleton", tmp_path / "lambda.keras")
    assert code == 0
    assert "raise NotImplementedError" in out
    assert err == "to do: the layer own (Lambda): its class\n"
    code, out, err = run("skeleton", tmp_path / "none.keras")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_part_of_a_file_and_a_report(lenet, run, tmp_path):
    lenet.save(tmp_path / "lenet.keras")
    where = ("--model", "lenet5", "--workdir", tmp_path / "run", "--classes", "3", "--partial", "--report")
    last = lenet.layers[-1].name
    pair = ("--rename", f"{lenet.layers[0].name}=conv1")
    code, out, err = run("import-keras", tmp_path / "lenet.keras", *where, *pair)
    assert code == 0, err
    assert "4 of 5 layers of" in err
    assert f"not taken from it: {last}" in err
    assert "rename" in out.splitlines()[1]
    assert f"not taken from '{tmp_path / 'lenet.keras'}': {last}" in out
    np.testing.assert_array_equal(
        load_run(tmp_path / "run").variables["params"]["conv1"]["kernel"], lenet.get_weights()[0]
    )
    code, _, err = run("import-keras", tmp_path / "lenet.keras", *where, "--rename", "conv1")
    assert (code, err.count("\n")) == (2, 1)
    assert "--rename conv1: give pairs of names" in err


def test_export_like_a_keras_file(lenet, run, tmp_path):
    lenet.save(tmp_path / "lenet.keras")
    import_keras(tmp_path / "lenet.keras", "lenet5", tmp_path / "run")
    code, out, err = run("export", tmp_path / "run", "--format", "keras", "--like", tmp_path / "lenet.keras")
    assert code == 0, err
    assert "run/model.keras: " in out
    with jax.numpy_rank_promotion("allow"):
        back = keras.models.load_model(tmp_path / "run" / "model.keras")
    for one, other in zip(lenet.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    code, _, err = run("export", tmp_path / "run", "--format", "text", "--like", tmp_path / "lenet.keras")
    assert (code, err.count("\n")) == (2, 1)


def test_every_format_is_written_where_its_readers_look(lenet, run, tmp_path):
    lenet.save_weights(tmp_path / "x.weights.h5")
    import_keras(tmp_path / "x.weights.h5", "lenet5", tmp_path / "run")
    for name, file in (
        ("safetensors", "weights.safetensors"),
        ("text", "weights.txt"),
        ("stablehlo", "model.stablehlo"),
    ):
        code, out, err = run("export", tmp_path / "run", "--format", name)
        assert code == 0, err
        assert f"run/{file}: " in out
    variables = export.load_safetensors(tmp_path / "run" / "weights.safetensors")
    np.testing.assert_array_equal(variables["params"]["conv1"]["kernel"], lenet.get_weights()[0])
    call = jax.export.deserialize(bytearray((tmp_path / "run" / "model.stablehlo").read_bytes())).call
    x = np.random.default_rng(0).normal(size=(3, 28, 28, 1)).astype(np.float32)
    np.testing.assert_allclose(jax.nn.softmax(call(x)), in_keras(lenet, x), rtol=1e-4, atol=1e-6)


def test_a_keras_file_or_a_run_starts_a_training(lenet, tmp_path):
    """With so small a rate nothing is learnt: what is measured are the start's own numbers."""
    lenet.save(tmp_path / "lenet.keras")
    import_keras(tmp_path / "lenet.keras", "lenet5", tmp_path / "run", dataset="digits")
    held_out = data.load("digits").test
    right = in_keras(lenet, held_out.x / np.float32(255)).argmax(-1) == held_out.y
    for start in (tmp_path / "lenet.keras", tmp_path / "run"):
        (record,) = train(
            devices=1, epochs=1, learning_rate=1e-12, start=start, workdir=tmp_path / f"from-{start.name}"
        )
        assert record["val_accuracy"] == pytest.approx(right.mean())
    with pytest.raises(UserError, match="holds a lenet5, not a mlp"):
        train(devices=1, epochs=1, model="mlp", start=tmp_path / "run", workdir=tmp_path / "other")


def test_what_does_not_fit_is_one_sentence_and_nothing_is_written(lenet, tmp_path):
    lenet.save(tmp_path / "lenet.keras")
    with pytest.raises(UserError):
        import_keras(tmp_path / "lenet.keras", "mlp", tmp_path / "run")
    with pytest.raises(UserError, match="unknown model 'lenet'"):
        import_keras(tmp_path / "lenet.keras", "lenet", tmp_path / "run")
    with pytest.raises(UserError):
        import_keras(tmp_path / "lenet.keras", "lenet5", tmp_path / "run", classes=7)
    assert not (tmp_path / "run").exists()


def test_a_network_that_computes_something_else_is_imported_only_if_asked(run, tmp_path):
    layers = keras.layers
    stack = [layers.Flatten(), layers.Dense(128, "tanh"), layers.Dense(10), layers.Dense(3, name="more")]
    keras.Sequential([keras.Input((28, 28, 1)), *stack]).save(tmp_path / "tanh.keras")
    how = ("import-keras", tmp_path / "tanh.keras", "--model", "mlp", "--workdir", tmp_path / "run")
    code, _, err = run(*how, "--ignore", "more")
    assert (code, err.count("\n")) == (2, 1)
    assert ": activation tanh in Keras, relu in dense1: " in err
    assert not (tmp_path / "run").exists()
    code, out, err = run(*how, "--ignore", "more", "--unchecked")
    assert (code, err) == (0, "")
    assert out.startswith("101,770 parameters of")


def test_an_imported_run_without_a_data_set_says_how_to_evaluate(lenet, run, tmp_path):
    lenet.save(tmp_path / "lenet.keras")
    import_keras(tmp_path / "lenet.keras", "lenet5", tmp_path / "run")
    code, _, err = run("evaluate", tmp_path / "run")
    assert code == 2
    assert "import it with --dataset" in err
