"""runs.save_pictures: all held-out examples counted, and the surest mistakes chosen."""

import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from sklearn import metrics as oracle

from jaxnets import data, hints, plots, runs
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.train import normalize


@pytest.fixture
def seen(monkeypatch):
    """What `save_pictures` hands to the functions that draw, by the name of the picture."""
    found = {}
    for name in ("images", "confusion", "kernels"):

        def note(*arguments, **options):
            path = next(one for one in arguments if hasattr(one, "suffix"))
            found[path.name] = [[*one] if hasattr(one, "__next__") else one for one in arguments]

        monkeypatch.setattr(plots, name, note)
    return found


@pytest.fixture(scope="module")
def lenet():
    digits = data.load("digits")
    model = MODELS["lenet5"]()
    return digits, model, model.init(jax.random.key(0), np.zeros((1, 28, 28, 1), np.float32))


def test_confusion_mistakes_and_kernels_beside_scikit_learn_and_numpy(lenet, seen, tmp_path):
    digits, model, variables = lenet
    command = runs.save_pictures(tmp_path, digits, model, variables)
    assert command == hints.jaxnets("predict", tmp_path, tmp_path / "example.png")
    x, y = digits.test.x, digits.test.y
    logits = np.asarray(model.apply(variables, normalize(x)), np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    guesses = probabilities.argmax(-1)
    np.testing.assert_array_equal(
        seen["confusion.png"][0], oracle.confusion_matrix(y, guesses, labels=range(10))
    )
    pictures, titles, _ = seen["mistakes.png"]
    wrong = [i for i in range(len(y)) if guesses[i] != y[i]]
    surest = sorted(wrong, key=lambda i: -probabilities[i, guesses[i]])[:32]
    assert len(pictures) == len(titles) == 32
    for picture, title, i in zip(pictures, titles, surest, strict=True):
        np.testing.assert_array_equal(picture, x[i])
        assert title == f"{guesses[i]} ({probabilities[i].max():.0%})\nis {y[i]}"
    np.testing.assert_array_equal(seen["kernels.png"][0], variables["params"]["conv1"]["kernel"])


def test_no_mistake_leaves_no_picture_of_mistakes(lenet, seen, tmp_path):
    digits, model, variables = lenet
    (tmp_path / "mistakes.png").write_text("of an earlier epoch")
    guesses = np.asarray(model.apply(variables, normalize(digits.test.x))).argmax(-1)
    right = data.ArraySource(digits.test.x, guesses, digits.features.classes)
    runs.save_pictures(tmp_path, data.Dataset("right", digits.train, right), model, variables)
    assert "mistakes.png" not in seen
    assert not (tmp_path / "mistakes.png").exists()


def test_results_are_printed_beside_the_documented_ones_and_drawn(lenet, tmp_path, capsys):
    digits, model, variables = lenet
    history = [{"epoch": 1, "step": 45, "loss": 0.5, "accuracy": 0.75, "val_accuracy": 0.62504}]
    documented = {"parameters": 61_706, "val_accuracy": 0.75, "val_accuracy after epoch 8": 0.9}
    measured = runs.show_results(
        tmp_path, "lenet5", model, variables, digits, history, documented, best_epoch=1
    )
    assert measured == history[0] | {
        "parameters": 61_706,
        "parameters_here": 61_706,
        "best_epoch": 1,
        "history": history,
        "dataset": "digits",
    }
    printed = capsys.readouterr().out
    assert "val_accuracy  0.75        0.625\n" in printed
    assert "parameters    61706       61706\n" in printed
    assert "after epoch 8" not in printed  # this run has not reached it
    assert printed.endswith(f"try next: {hints.jaxnets('predict', tmp_path, tmp_path / 'example.png')}\n")
    assert {path.name for path in tmp_path.iterdir()} >= {"curves.png", "confusion.png", "example.png"}


def test_the_number_of_parameters_says_of_which_input_it_is(lenet, capsys):
    digits, model, _ = lenet
    history, documented = [{"epoch": 1, "step": 45}], {"parameters": 62_006}
    measured = runs.print_summary("lenet5_sigmoid", model, digits, history, documented)
    assert (measured["parameters"], measured["parameters_here"]) == (62_006, 61_706)
    printed = capsys.readouterr().out
    assert "Total params: 61,706" in printed
    assert "parameters for the documented input  62006       62006\n" in printed


def test_equally_sure_mistakes_keep_their_order():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.9, 0.1], [0.05, 0.95]])
    guesses, confidences = probabilities.argmax(-1), probabilities.max(-1)
    assert runs.surest_mistakes(guesses, confidences, np.array([1, 1, 0, 1, 0])).tolist() == [4, 0, 2, 3]


def test_ten_thousand_classes_need_no_matrix_of_a_hundred_million_cells(seen, tmp_path):
    """A network that takes every class for the next; the last for the first."""
    classes = 10_000
    x = np.stack(np.divmod(np.arange(classes), 256), -1).astype(np.uint8)[:, None, :, None]
    source = data.ArraySource(x, np.arange(classes), [str(label) for label in range(classes)])

    class Next(linen.Module):
        @linen.compact
        def __call__(self, x):
            label = jnp.round(x[:, 0, :, 0] @ jnp.array([256.0, 1.0])).astype(int)
            return 99 * jax.nn.one_hot((label + 1) % classes, classes)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runs.save_pictures(
        tmp_path, data.Dataset("many", source, source), Next(), {}, lambda x: x.astype(jnp.float32)
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB
    matrix, names, _ = seen["confusion.png"]
    # ten classes a row: nine of each ten are taken for one of the same ten
    np.testing.assert_array_equal(matrix, 9 * np.eye(1000) + np.roll(np.eye(1000), 1, 1))
    assert [*names] == [str(label) for label in range(0, classes, 10)]
    assert seen["mistakes.png"][1][0].endswith("\nis 0")


@pytest.mark.parametrize("name, path", [("cnn8", "conv1"), ("resnet18", "conv1_conv"), ("mlp", None)])
def test_the_first_kernel_is_that_of_the_first_layer(name, path):
    model, shape = MODELS[name](), INPUT_SHAPES[name]
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *shape), np.float32))
    variables = jax.tree.map(lambda array: np.zeros(array.shape), shapes)
    found = runs.first_kernel(model, variables, shape)
    assert found is (variables["params"][path]["kernel"] if path else None)
