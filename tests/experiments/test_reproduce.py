"""experiments/reproduce.py: what runs, what is skipped, what the page says."""

import inspect
import json
import re

import pytest

from experiments import gradient_descent, reproduce
from experiments.catalogue import ROWS, File
from experiments.results_page import REMARKS, difference, precision, render, spread, text
from jaxnets.errors import UserError

CATALOGUE = {  # the ids of the documents' systems, as the project was asked for them
    "A": range(1, 13),
    "B": (1, 2, 4, 5, 9),  # B3, B6, B7 and B8 are what B2 shows
    "C": range(1, 8),
    "D": range(1, 7),
    "E": range(1, 8),
    "F": range(1, 10),
}


def test_every_system_of_the_documents_has_a_row():
    known = {name.split()[0] for name in ROWS}
    assert known == {f"{letter}{number}" for letter, numbers in CATALOGUE.items() for number in numbers}


@pytest.mark.parametrize("name", ROWS)
def test_scripts_take_what_rows_ask_and_know_its_key(name):
    row = ROWS[name]
    module = reproduce.importlib.import_module(f"experiments.{row.script}")
    parameters = inspect.signature(module.main).parameters
    assert set(row.options) | set(row.quick) <= set(parameters)
    assert "seed" in parameters or not row.seeds
    assert "workdir" in parameters or not row.pictures
    assert row.key is None or row.key in module.DOCUMENTED


def test_the_page_is_what_the_script_makes_of_the_results():
    page = reproduce.DOCS / "results.md"
    assert render(reproduce.load(page), page.parent) == page.read_text(encoding="utf-8")


def test_every_remark_is_about_rows_of_the_catalogue():
    known = {*ROWS, *(row.split()[0] for row in ROWS)}
    assert {name for names in REMARKS for name in re.split(", | to ", names)} <= known


def run(tmp_path, *only, **options):
    return reproduce.main(only=only, quick=True, workdir=tmp_path, **options)


def test_page_has_documented_and_measured_figures_and_the_picture(tmp_path):
    run(tmp_path, "A1", "A2")
    page = (tmp_path / "quick" / "results.md").read_text()
    # 31 in float32 with the step's product and difference rounded one after the other or together
    assert "| first step that prints w = -1.000000 | 31 | 31 | 0 |" in page
    assert "| last rate | 0.135146 | 0.135146 |" in page
    assert "![A1: gradient descent, constant rate](results/A1-descent.png)" in page
    assert (tmp_path / "quick" / "results" / "A1-descent.png").stat().st_size > 5_000
    assert "| A4 |" in page
    assert "not run yet, for want of time" in page


@pytest.mark.parametrize("publish", [False, True])
def test_only_the_authors_flag_writes_to_docs(tmp_path, monkeypatch, publish):
    monkeypatch.setattr(reproduce, "DOCS", tmp_path / "docs")
    reproduce.main(only=("A9",), workdir=tmp_path / "mine", publish=publish)
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("results.*")}
    folder = "docs" if publish else "mine/full"
    assert pages == {f"{folder}/results.md", f"{folder}/results.json"}


def test_a_smoke_run_is_not_published(tmp_path):
    with pytest.raises(UserError, match="--publish --quick: a smoke run is not for docs/"):
        run(tmp_path, "A9", publish=True)
    assert not list(tmp_path.iterdir())


def test_what_is_done_is_not_done_again_unless_it_is_asked_otherwise(tmp_path, monkeypatch):
    calls = []
    real = gradient_descent.main

    def counted(*, steps=40, workdir=None):
        calls.append(steps)
        return real(steps=steps, workdir=workdir)

    monkeypatch.setattr(reproduce.importlib.import_module("experiments.gradient_descent"), "main", counted)
    run(tmp_path, "A2")
    first = run(tmp_path, "A2")
    assert calls == [40]
    kept = ROWS["A2"]
    monkeypatch.setitem(ROWS, "A2", kept._replace(quick={"steps": 50}))
    second = run(tmp_path, "A2")
    assert calls == [40, 50]
    assert first["A2"]["runs"][0]["options"] == {}
    assert second["A2"]["runs"][0]["options"] == {"steps": 50}


def test_a_row_that_fails_is_named_and_costs_no_other(tmp_path, monkeypatch):
    def broken(**options):
        raise ZeroDivisionError("by hand")

    def missing(**options):
        raise UserError("there is no such file here")

    monkeypatch.setattr(reproduce.importlib.import_module("experiments.forward_pass"), "main", broken)
    monkeypatch.setattr(reproduce.importlib.import_module("experiments.cross_entropy"), "main", missing)
    with pytest.raises(SystemExit, match="A4: not as they should be"):
        run(tmp_path, "A2", "A4", "A9")
    page = (tmp_path / "quick" / "results.md").read_text()
    assert "not measured: there is no such file here" in page
    assert "ZeroDivisionError: by hand" in page
    assert "| last rate | 0.135146 |" in page


def test_stand_in_does_not_replace_what_was_measured_on_the_real_data(tmp_path, capsys):
    row = ROWS["B2"]
    runs = [{"seed": 0, "options": {"dataset": "mnist"}, "dataset": "mnist", "epochs": 5, "figures": {}}]
    page = tmp_path / "results.md"
    reproduce.record(page, "B2", row, runs, tmp_path)
    reproduce.record(page, "B2", row, [{**runs[0], "dataset": "digits"}], tmp_path)
    assert "keeps what was measured on mnist" in capsys.readouterr().out
    assert json.loads(page.with_suffix(".json").read_text())["B2"]["runs"] == runs


def test_names_and_files_of_the_users_are_put_in():
    stock = reproduce.resolve(ROWS["D6 GRU"], False, 3, {}, {"stock": "there/x.csv"})
    assert (stock["csv"].name, stock["epochs"]) == ("x.csv", 3)
    assert "csv" not in reproduce.resolve(ROWS["D6 GRU"], True, None, {}, {"stock": "there/x.csv"})
    assert isinstance(ROWS["D6 GRU"].options["csv"], File)
    named = reproduce.resolve(ROWS["C1"], False, 50, {"cifar10": "mine"}, {})
    assert named == {"model": "baseline", "dataset": "mine", "epochs": 5}


@pytest.mark.parametrize("arguments", [{"only": ("Z9",)}, {"rename": ("mnist",)}, {"files": ("stock",)}])
def test_bad_arguments_are_refused_in_a_sentence(tmp_path, arguments):
    with pytest.raises(UserError, match=r"Z9|NAME=VALUE"):
        reproduce.main(workdir=tmp_path, **arguments)


def test_figures_are_printed_with_the_digits_of_the_documented_one():
    assert precision([0.25598174, 0.6958]) == 8
    assert precision(31) == precision(None) == 4
    assert text(198506) == "198,506"
    assert text([1, 0.25], 4) == "1 0.25"
    assert spread([0.5, 0.25, 0.75], 4) == "0.5 (0.25 to 0.75)"
    assert spread([0.5, 0.5], 4) == "0.5"
    assert difference(0.5762, [0.5862, 0.5662]) == "0"
    assert difference(0.5, [0.25]) == "-0.25"
    assert difference([1.0, 2.0], [[1.0, 2.25]]) == "at most 0.2"
