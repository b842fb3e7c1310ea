"""The commands runs and plot: runs side by side, whatever else is in their folder."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxnets import plots
from jaxnets.errors import UserError
from jaxnets.runs.collect import collect, differences, in_words
from jaxnets.train import write_config

BASE = {"model": "lenet5", "dataset": "digits", "optimizer": "adam", "learning_rate": 0.001, "seed": 0}


def make(folder: Path, accuracies, **settings) -> Path:
    write_config(folder, BASE | {"epochs": 3} | settings)
    lines = [
        {"epoch": epoch, "step": epoch, "loss": 1 - value, "accuracy": value, "seconds": 1.0}
        | ({"val_loss": 2 - value, "val_accuracy": value / 2} if settings.get("held_out", True) else {})
        for epoch, value in enumerate(accuracies, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def several(tmp_path, monkeypatch):
    """Three runs, one of them a folder further down, and what else may lie between them."""
    monkeypatch.chdir(tmp_path)
    root = Path("runs")
    make(root / "run-10", [0.2, 0.9, 0.8])
    make(root / "run-2", [0.6], optimizer="sgd", seed=1)
    make(root / "more" / "faint", [0.3, 0.4, 0.5], learning_rate=0.01, augment=["rotation=45", "zoom=0.1"])
    (root / "pictures" / "old").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "loop").symlink_to(root.absolute())
    for name, text in {
        "broken": "{",
        "list": "[]",
        "bert": '{"model_type": "bert", "hidden_size": 8}',
    }.items():
        (root / name).mkdir()
        (root / name / "config.json").write_text(text)
    make(root / "scribbled", [0.1])
    (root / "scribbled" / "metrics.jsonl").write_text('{"epoch": 1, "val_loss": "low"}\n')
    (root / "nameless").mkdir()
    (root / "nameless" / "metrics.jsonl").touch()
    return root


def test_the_table_has_last_and_best_and_what_differs(run, several):
    code, out, err = run("runs")
    head, *rows, note = [line.split("  ") for line in out.splitlines()]
    assert code == 0
    assert [cell.strip() for cell in head if cell] == [
        *("run", "model", "data set", "epochs", "finished", "val_loss", "val_accuracy", "date (UTC)"),
        "differs in",
    ]
    rows = [[cell.strip() for cell in row if cell] for row in rows]
    assert [row[0] for row in rows] == ["runs/more/faint", "runs/run-2", "runs/run-10"]
    assert rows[2][1:7] == ["lenet5", "digits", "3/3", "yes", "1.2000 (1.1000)", "0.4000 (0.4500)"]
    assert rows[1][3:5] == ["1/3", "no"]
    assert [row[-1] for row in rows] == [
        "optimizer adam, learning_rate 0.01, seed 0, augment rotation=45 zoom=0.1",
        "optimizer sgd, learning_rate 0.001, seed 1",
        "optimizer adam, learning_rate 0.001, seed 0",
    ]
    assert "best" in note[0]
    said = err.splitlines()
    assert len(said) == 6
    for name in ("broken", "list", "bert", "scribbled", "nameless"):
        assert sum(f"runs/{name}" in line for line in said) == 1, name
    assert said[-1] == "no runs in: runs/loop, runs/pictures"


@pytest.mark.parametrize(
    "values, settings, finished",
    [
        ([0.1, 0.2, 0.3], {}, True),
        ([0.1, 0.2], {}, False),
        ([0.1], {"epochs": None}, None),
        ([], {"epochs": None, "imported": "net.keras"}, True),
        ([0.5, 0.1, 0.2], {"epochs": 9, "early_stopping": 2}, True),
        ([0.5, 0.1, 0.6], {"epochs": 9, "early_stopping": 2}, False),
        ([0.5, 0.1], {"epochs": 9, "early_stopping": 1, "best": "val_accuracy"}, True),
        ([0.5], {"epochs": 9, "early_stopping": "soon"}, False),
    ],
)
def test_a_run_is_finished_when_all_its_epochs_are_done_or_it_has_stopped(
    tmp_path, values, settings, finished
):
    (found,) = collect(make(tmp_path / "run", values, **settings)).runs
    assert found.finished is finished


@pytest.mark.parametrize(
    "by, order",
    [
        ("val_accuracy", ["run-10", "run-2", "faint"]),
        ("val_loss", ["run-10", "run-2", "faint"]),
        ("epochs", ["faint", "run-10", "run-2"]),
        ("run", ["faint", "run-2", "run-10"]),
    ],
)
def test_rows_are_sorted_by_a_column_or_the_best_value(run, several, by, order):
    _, out, _ = run("runs", several, "--sort", by, "--json")
    assert [Path(row["run"]).name for row in json.loads(out)] == order


def test_a_run_without_the_measure_comes_last(run, several):
    make(several / "a", [0.99], held_out=False)
    _, out, _ = run("runs", several, "--sort", "val_accuracy", "--json")
    assert [Path(row["run"]).name for row in json.loads(out)] == ["run-10", "run-2", "faint", "a"]


def test_json_and_csv_say_the_same(run, several):
    rows = json.loads(run("runs", several, "--json")[1])
    table = list(csv.DictReader(io.StringIO(run("runs", several, "--csv")[1])))
    assert len(rows) == len(table) == 3
    for row, line in zip(rows, table, strict=True):
        assert line["run"] == row["run"]
        assert (line["epochs"], line["finished"]) == (str(row["epochs"]), str(row["finished"]))
        for name, value in row["last"].items():
            assert float(line[name]) == value
            assert float(line[f"best_{name}"]) == row["best"][name]["value"]
            assert int(line[f"best_epoch_of_{name}"]) == row["best"][name]["epoch"]
        assert line["optimizer"] == row["differs"]["optimizer"]
    assert rows[2]["best"]["val_accuracy"] == {"value": 0.45, "epoch": 2}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["runs", "nowhere"], "nowhere: there is no such folder; name one that holds runs"),
        (
            ["runs", "--sort", "val_acuracy"],
            "unknown column to sort by 'val_acuracy' (did you mean val_accuracy?",
        ),
        (["runs", "--json", "--csv"], "--json --csv: leave one of them out"),
        (["plot"], "no run given: name one or more folders of runs"),
        (["plot", "nowhere"], "nowhere: there is no such folder"),
        (["plot", "runs/pictures"], "none of these has a finished epoch"),
        (["plot", "runs", "--output", "curves.pdf"], "curves.pdf: its name must end in .png"),
        (["plot", "runs", "--output", "there.png"], "there.png exists: give another name, or --overwrite"),
    ],
)
def test_what_is_wrong_is_a_sentence(run, several, arguments, message):
    Path("there.png").write_bytes(b"mine")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert Path("there.png").read_bytes() == b"mine"
    assert [path.name for path in Path().glob("*.png")] == ["there.png"]


def test_a_folder_without_runs_is_said_and_no_error(run, several):
    assert run("runs", several / "pictures") == (
        0,
        "",
        "no runs in: runs/pictures/old\nruns/pictures holds no run yet\n",
    )


def test_an_earlier_run_and_a_run_without_records_are_listed(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(BASE | {"versions": {"jaxnets": "0.1"}}))
    (row,) = json.loads(run("runs", tmp_path / "run", "--json")[1])
    assert (row["epochs"], row["asked"], row["last"], row["differs"]) == (0, None, {}, {})
    assert row["date"].startswith("20")


def test_other_examples_of_a_data_set_differ_and_other_data_sets_do_not(tmp_path):
    make(tmp_path / "a", [0.1], fingerprint="1" * 32)
    make(tmp_path / "b", [0.1], fingerprint="2" * 32)
    make(tmp_path / "c", [0.1], fingerprint="3" * 32, dataset="mnist")
    a, b, c = differences(collect(tmp_path).runs)
    assert (a["examples"], b["examples"], c["examples"]) == ("1" * 8, "2" * 8, None)
    shutil.rmtree(tmp_path / "b")
    assert [in_words(one) for one in differences(collect(tmp_path).runs)] == [
        "dataset digits",
        "dataset mnist",
    ]


def test_a_plot_takes_a_free_name_or_replaces_what_it_may(run, several):
    for expected in ("comparison.png", "comparison-2.png"):
        code, out, _ = run("plot", several)
        assert (code, out) == (0, f"{expected}: 3 runs\n")
    before = Path("comparison.png").read_bytes()
    code, out, _ = run("plot", several / "run-2", "runs/run-2", "--output", "comparison.png", "--overwrite")
    assert (code, out) == (0, "comparison.png: 1 run\n")
    assert Path("comparison.png").read_bytes() != before


def test_every_run_has_its_colour_in_picture_and_legend(tmp_path):
    """Of different lengths, the shortest one epoch."""
    histories = {
        f"learning_rate {number}": [
            {"epoch": epoch, "accuracy": number / 9, "val_accuracy": number / 10}
            for epoch in range(1, 2 + number * 5)
        ]
        for number in range(7)
    }
    plots.compare(histories, tmp_path / "a.png", measures=["accuracy"])
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in (colour for colour in plots.COLOURS if colour != plots.style.YELLOW):
        rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - rgb).max(-1) < 8).sum() > 20, colour
    with pytest.raises(UserError, match="29 trainings in one picture: 28 can be told apart at most"):
        plots.compare({str(number): [] for number in range(29)}, tmp_path / "b.png")
