"""A second experiment is no error: runs without a --workdir find their own folders, or get new ones."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets import runs
from jaxnets.cli.seeds import spread
from jaxnets.errors import UserError
from jaxnets.runs.folder import open_folder
from jaxnets.train import read_config, read_metrics, write_config

CONFIG = {"model": "lenet5", "dataset": "digits", "optimizer": "adam", "learning_rate": 0.001, "seed": 0}
CONFIG |= {"start": None, "epochs": 3, "fingerprint": "12ab"}
BASE = Path("runs/lenet5-digits")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.sleep", lambda _: None)


def folder_of(**changed) -> str:
    return open_folder(None, "lenet5-digits", CONFIG | changed).name.removeprefix(BASE.name)


@pytest.mark.parametrize(
    "changed, suffix",
    [
        ({}, ""),
        ({"epochs": 9}, ""),
        ({"learning_rate": 0.01}, "-lr0.01"),
        ({"learning_rate": 1e-05, "optimizer": "sgd"}, "-sgd-lr1e-05"),
        ({"seed": 3, "label_smoothing": 0.1, "head_only": True}, "-seed3-label_smoothing0.1-head_only"),
        ({"augment": ["rotation=45"], "fill": "nearest"}, "-2"),
        ({"start": "photo/../run"}, "-2"),
        ({"fingerprint": "34cd"}, "-2"),
        ({"schedule": "../up"}, "-2"),
        ({"note": "a" * 99}, "-2"),
    ],
    ids=str,
)
def test_what_differs_is_in_the_name_and_the_same_again_finds_it(capsys, changed, suffix):
    assert folder_of() == ""
    assert folder_of(**changed) == suffix
    said = capsys.readouterr().err
    assert said.count("\n") == (1 if suffix else 0)
    if suffix:
        assert said.startswith(f"{BASE} holds a run with ")
        assert said.endswith(f": this run is in {BASE}{suffix}\n")
    shutil.rmtree(BASE)  # whatever becomes of the others
    folder_of(batch_size=7)
    assert folder_of(**changed | {"epochs": 20}) == ("-2" if suffix in ("", "-batch7") else suffix)


def test_every_one_of_many_has_its_own(capsys):
    asked = [{"augment": [f"rotation={number}"]} for number in range(12)]
    asked += [{"optimizer": name, "seed": seed} for name in ("sgd", "adam") for seed in (0, 1)]
    asked += [{"fingerprint": "34cd", "optimizer": "sgd"}]
    first = [folder_of(**one) for one in asked]
    assert len(set(first)) == len(asked)
    assert [folder_of(**one) for one in reversed(asked)] == first[::-1]


def test_other_things_in_the_way_stay_and_are_said(capsys):
    BASE.mkdir(parents=True)
    (BASE / "thesis.tex").write_text("x")
    write_config(BASE.with_name("lenet5-digits-mine"), CONFIG)  # with --workdir: not this command's
    assert folder_of() == "-2"
    assert capsys.readouterr().err == f"{BASE} holds something else: this run is in {BASE}-2\n"
    (BASE.with_name("lenet5-digits-2") / "config.json").write_text("{")
    assert folder_of() == "-3"
    assert "lenet5-digits-2/config.json cannot be read as JSON" in capsys.readouterr().err
    assert [path.name for path in BASE.iterdir()] == ["thesis.tex"]


def test_a_folder_that_was_asked_for_is_taken_or_refused():
    assert open_folder(Path("mine"), "lenet5-digits", CONFIG) == Path("mine")
    with pytest.raises(
        UserError, match=r"mine holds a run with learning_rate 0\.001, not 0\.1: give another"
    ):
        open_folder(Path("mine"), "lenet5-digits", CONFIG | {"learning_rate": 0.1})
    assert not BASE.parent.exists()


def test_one_that_begins_at_the_same_moment_gets_another(monkeypatch):
    """It has looked while the folder was still free."""
    real, late = runs.folder.write_config, []

    def write(workdir, config):
        if not late:
            late.append(workdir)
            real(workdir, CONFIG | {"seed": 1})  # of the other
        real(workdir, config)

    monkeypatch.setattr(runs.folder, "write_config", write)
    assert folder_of() == "-seed0"
    assert late == [BASE]
    assert read_config(BASE)["seed"] == 1


def test_mean_and_spread():
    values = [0.5, 0.25, 1.0]
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    assert spread(values) == f"{mean:.4f} +- {deviation:.4f} (0.2500 to 1.0000)"
    assert spread([0.5]) == "0.5000 +- 0.0000 (0.5000 to 0.5000)"


TRAIN = ["train", "--dataset", "iris", "--model", "perceptron", "--epochs", "2", "--learning-rate", "0.05"]


@pytest.mark.slow
def test_several_seeds_are_single_runs_and_lose_nothing_to_a_reader_that_has_gone(run):
    command = (
        f"{sys.executable} -m jaxnets {' '.join(TRAIN)} --seeds 1 0 2>&1 | head -n 1; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    folders = [Path("runs/perceptron-iris"), Path("runs/perceptron-iris-seed0")]
    for folder in folders:
        assert [record["epoch"] for record in read_metrics(folder / "metrics.jsonl")] == [1, 2]
        assert (folder / "curves.png").exists()
    assert read_config(folders[0])["command"].endswith(f"{' '.join(TRAIN)} --seeds 1 0")

    code, out, err = run(*TRAIN, "--seeds", "1", "0", "--devices", "1")
    assert code == 0
    assert [line.split(" is finished")[0] for line in err.splitlines()] == list(map(str, folders))
    last = [read_metrics(folder / "metrics.jsonl")[-1]["val_accuracy"] for folder in folders]
    assert f"  held out: accuracy {spread(last)}\n" in out
    assert "seeds 1, 0 after 2 epochs:\n  mean +- standard deviation (lowest to highest)\n" in out

    assert run(*TRAIN, "--seed", "0", "--devices", "1", "--workdir", "single")[0] == 0
    one, other = (runs.load_run(folder).variables for folder in (Path("single"), folders[1]))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    listed = json.loads(run("runs", "--json")[1])
    assert [row["differs"] for row in listed] == [{"seed": 1}, {"seed": 0}]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds", "3", "4", "3"], "--seeds: 3 is given twice"),
        (["--seeds", "3", "--seed", "4"], "--seed 4 --seeds: leave one of them out"),
        (["--seeds", "-1"], "--seeds -1: it must be 0 to 4,294,967,295"),
        (["--seeds", "1", "--workdir", "mine"], "mine holds a run itself: give --seeds another --workdir"),
    ],
)
def test_seeds_that_are_wrong_are_refused(run, arguments, message):
    write_config(Path("mine"), CONFIG)
    code, _, err = run(*TRAIN, *arguments)
    assert (code, err) == (2, f"error: {message}\n")
