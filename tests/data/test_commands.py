"""python -m jaxnets data ...: from a folder of images to a network trained on it."""

import sys

import numpy as np
import pytest
from PIL import Image

from experiments.train import main as train
from jaxnets import cli, data
from jaxnets.errors import UserError


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Calls the command line with these arguments; returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["jaxnets", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def bars(tmp_path):
    """Upright and lying bars, easily told apart; one file is no image."""
    random = np.random.RandomState(0)
    for number in range(80):
        image = random.randint(0, 60, (12, 12), np.uint8)
        image[slice(2, 10) if number % 2 else 6, 6 if number % 2 else slice(2, 10)] = 250
        path = tmp_path / "bars" / ("upright" if number % 2 else "lying") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (tmp_path / "bars" / "lying" / "broken.png").write_bytes(b"no image")
    return tmp_path / "bars"


def test_from_a_folder_to_a_trained_network(run, bars, tmp_path):
    code, _, err = run("data", "prepare", bars, "--name", "bars")
    assert code == 2
    assert "broken.png: not an image that can be read" in err
    assert err.count("\n") == 1
    code, out, _ = run("data", "prepare", bars, "--name", "bars", "--on-error", "skip")
    assert code == 0
    assert "left out: " in out
    assert "bars: 80 train, 1 left out" in out
    code, out, _ = run("data", "list")
    assert code == 0
    assert "digits" in out
    assert "bars                     1.0.0      80 train (array_record)" in out
    code, out, _ = run("data", "show", "bars", "--augment", "rotation=10", "horizontal_flip", "--count", "4")
    assert code == 0
    assert "bars: 64 examples to learn from, 16 held out; 12 x 12 x 1" in out
    assert {sum(map(int, line.split()[1:])) for line in out.splitlines()[1:3]} == {40}
    with Image.open(tmp_path / "bars.png") as picture:
        assert picture.size[0] > 300
        assert np.ptp(np.asarray(picture.convert("L"))) == 255
    history = train(
        model="mlp", dataset="bars", epochs=6, augment=("shift=0.1", "mixup=0.2"), workdir=tmp_path / "run"
    )
    assert history[-1]["val_accuracy"] > 0.9
    code, out, _ = run("evaluate", tmp_path / "run", "--json")
    assert code == 0


def test_what_is_wrong_is_one_line_and_exit_code_2(run, bars):
    for arguments, message in (
        (["data"], "prepare, convert, list, show"),
        (["data", "prepare", bars], "name"),
        (["data", "prepare", bars / "nothing", "--name", "x"], "there is no such file or folder"),
        (["data", "show", "iris", "--augment", "rotation=3"], "are not images"),
        (["data", "show", "digits", "--augment", "rotate"], "unknown augmentation 'rotate'"),
        (["data", "show", "digits", "--augment", "resize=8"], "add a resize"),
        (["data", "convert", "nothing"], "no data set nothing is prepared in"),
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.slow
def test_a_run_goes_on_only_with_its_own_augmentation(bars, tmp_path):
    train(model="mlp", dataset="digits", epochs=1, augment=("shift=0.1",), workdir=tmp_path / "run")
    with pytest.raises(UserError, match="holds a run with augment"):
        train(model="mlp", dataset="digits", epochs=2, workdir=tmp_path / "run")


def test_a_table_is_shown_with_the_names_of_its_columns(run):
    code, out, _ = run("data", "show", "iris")
    assert code == 0
    header, first = (
        line for line in out.splitlines() if "sepal length (cm)" in line or line.startswith("0 ")
    )
    for name in ("sepal width (cm)", "petal length (cm)", "petal width (cm)", "class"):
        assert name in header
    example = data.load("iris").train[0]
    wanted = [f"{value:g}" for value in example["x"]]
    assert first.split() == ["0", *wanted, data.load("iris").features.classes[int(example["y"])]]


def test_the_first_images_are_told_with_label_shape_and_range(run, tmp_path):
    code, out, _ = run("data", "show", "digits")
    assert code == 0
    first = next(line for line in out.splitlines() if line.startswith("example 0: "))
    image = data.load("digits").train[0]["x"]
    assert first.endswith(f", 28 x 28 x 1 uint8, {image.min()} to {image.max()}")
    assert (tmp_path / "digits.png").exists()
