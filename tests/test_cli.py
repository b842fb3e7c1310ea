"""python -m jaxnets: what it prints, and its exit codes."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.cli import commandline, commands
from jaxnets.data.formats.drawings import ink_of
from jaxnets.errors import UserError

ROOT = Path(__file__).parents[1]


def test_models_lists_every_model_with_its_parameters(run):
    code, out, _ = run("models")
    assert code == 0
    assert re.search(r"^lenet5 +28 x 28 x 1 +61,706 parameters$", out, re.M)
    assert re.search(r"^lenet5_sigmoid +32 x 32 x 3 +62,006 parameters$", out, re.M)


def test_summary_prints_a_table_and_json(run):
    code, out, _ = run("summary", "lenet5")
    assert code == 0
    assert "Total params: 61,706" in out
    code, out, _ = run("summary", "mlp", "--json")
    found = json.loads(out)
    assert (found["parameters"], found["non_trainable_parameters"]) == (101_770, 0)
    _, out, _ = run("summary", "lenet5", "--classes", "3", "--json")
    assert json.loads(out)["parameters"] == 61_706 - 7 * 85


def test_predict_says_the_right_digits_in_either_ink(run, workdir, tmp_path):
    """Held-out digits, as saved and as dark drawings on light paper, four times as large."""
    held_out = data.load("digits").test
    right = 0
    for index in range(20):
        image = held_out.x[index, ..., 0]
        paper = Image.fromarray(255 - image).resize((112, 112))
        assert ink_of(np.asarray(paper)[..., None]) == "dark"
        for name, picture in (("light.png", Image.fromarray(image)), ("dark.jpg", paper)):
            picture.save(tmp_path / name)
        code, out, _ = run("predict", workdir, tmp_path / "light.png", tmp_path / "dark.jpg", "--json")
        assert code == 0
        right += sum(answer["guesses"][0]["label"] == str(held_out.y[index]) for answer in json.loads(out))
    assert right >= 36


def test_predict_prints_label_probability_and_two_more_guesses(run, workdir):
    code, out, _ = run("predict", workdir, workdir / "example.png")
    label = data.load("digits").test.y[0]
    assert code == 0
    assert re.fullmatch(
        rf"\S+example\.png: {label} \((0\.\d{{3}}|1\.000)\), then \d \(\S+\), \d \(\S+\)\n", out
    )


def test_predict_goes_on_after_an_unreadable_file_and_exits_with_2(run, workdir, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    code, out, err = run(
        "predict", workdir, tmp_path / "text.png", workdir / "example.png", tmp_path / "none.png"
    )
    assert code == 2
    assert out.count("\n") == 1
    assert "example.png" in out
    assert [line.split(": ")[0] for line in err.splitlines()] == ["error", "error"]
    assert "text.png: not an image" in err
    assert "none.png: there is no such file" in err


def test_evaluate_measures_what_training_measured(run, workdir):
    _, out, _ = run("evaluate", workdir, "--json")
    found = json.loads(out)
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert found["accuracy"] == last["val_accuracy"]
    assert found["loss"] == pytest.approx(last["val_loss"], rel=1e-5)
    assert found["examples"] == 359


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["summary", "lenet"], "unknown model 'lenet' (did you mean lenet5?)"),
        (["evaluate", "nowhere"], "nowhere is not the folder of a run: it has no config.json"),
        (["predict", "nowhere", "x.png"], "nowhere is not the folder of a run"),
        (["predict", "nowhere"], "no image given"),
        (["predict"], "WORKDIR"),
        (["summary", "mlp", "--classes", "x"], "--classes"),
        (
            ["export", "nowhere", "--fold"],
            "--fold goes with --format stablehlo or onnx, not with safetensors",
        ),
        (["summarise"], "summarise"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert message in err


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    def broken():
        raise KeyError("a defect")

    monkeypatch.setattr(sys, "argv", ["x"])
    with pytest.raises(KeyError):
        commandline.run(broken)


def test_an_error_is_one_line_also_where_stderr_is_no_file():
    """As in notebooks, whose stderr has no bytes behind it."""

    def wrong():
        raise UserError("too much: give less")

    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as stop:
        commandline.run(wrong, arguments=[])
    assert (stop.value.code, said.getvalue()) == (2, "error: too much: give less\n")


def test_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "jaxnets", "--help"], capture_output=True, text=True, check=True
    )
    assert all(command in done.stdout for command in commands.COMMANDS)


def test_a_reader_that_has_seen_enough_is_no_defect():
    command = f"{sys.executable} -m jaxnets models | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("perceptron")


@pytest.mark.parametrize(
    "command, both, code",
    [
        (["-m", "jaxnets", "--help"], False, 0),
        (["-u", "-m", "jaxnets", "summary", "mlp"], False, 0),
        (["-m", "jaxnets", "summarise"], True, 2),
        ([ROOT / "experiments" / "tensor_basics.py"], True, 0),
    ],
)
def test_nor_is_one_that_reads_nothing(command, both, code):
    """Nor does Python, which writes what is left when it ends, say that it could not."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": writer, "stderr": writer if both else subprocess.PIPE}
    done = subprocess.run([sys.executable, *map(str, command)], check=False, **streams)
    os.close(writer)
    assert (done.returncode, done.stderr or b"") == (code, b"")


def test_an_error_is_one_line_also_without_utf_8():
    command = [sys.executable, "-m", "jaxnets", "predict"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("; see --help\n")
    assert "WORKDIR" in done.stderr
    assert "---" not in done.stderr
    help = subprocess.run(
        [*command[:3], "--help"], capture_output=True, text=True, env=environment, check=True
    )
    assert "import-keras" in help.stdout


@pytest.mark.parametrize("encoding, expected", [("gbk", "猫\\U0001f436"), ("ascii", "\\u732b\\U0001f436")])
def test_names_that_a_terminal_cannot_show_are_replaced(monkeypatch, encoding, expected):
    out, error = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", error)

    def say() -> None:
        print("猫🐶")
        raise UserError("no 猫🐶")

    with pytest.raises(SystemExit):
        commandline.run(say, "say", [])
    assert out.buffer.getvalue() == f"{expected}\n".encode(encoding)
    assert error.buffer.getvalue() == f"error: no {expected}\n".encode(encoding)
