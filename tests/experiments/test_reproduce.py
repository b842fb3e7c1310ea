"""experiments/reproduce.py: what runs, what is skipped, what the page says."""

import importlib
import inspect
import json
import math
import re
from statistics import mean

import pytest

from experiments import arithmetic, facts, gradient_descent, index_page, reproduce, results_page
from experiments.catalogue import OLDER, ROWS, File
from experiments.cifar10 import SYSTEMS
from experiments.cnn_mnist import VARIANTS
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
    module = facts.script_of(row)
    parameters = inspect.signature(module.main).parameters
    assert set(row.options) | set(row.quick) <= set(parameters)
    assert "seed" in parameters or not row.seeds
    assert "workdir" in parameters or not row.pictures
    assert row.key is None or row.key in module.DOCUMENTED


def test_the_page_is_what_the_script_makes_of_the_results():
    page = reproduce.DOCS / "results.md"
    results = reproduce.load(page)
    assert render(results, page.parent) == page.read_text(encoding="utf-8")
    for name, chinese in reproduce.INDEXES.items():
        index = (reproduce.DOCS / name).read_text(encoding="utf-8")
        assert index_page.render_index(results, chinese=chinese) == index


def test_indexes_have_every_row_and_figures_that_are_shown():
    assert index_page.PLACES.keys() == ROWS.keys()
    for name, place in index_page.PLACES.items():
        assert set(place.figures) <= set(facts.figures(ROWS[name])), name


def test_rows_that_are_older_than_the_code_which_decides_on_their_figures_are_listed():
    """Run them again with --publish and take them out of `OLDER`, or put in what a change has made old."""
    results = reproduce.load(reproduce.DOCS / "results.md")
    now = {name: arithmetic.fingerprint(ROWS[name].script) for name in results}
    measured = {name: [run for run in entry["runs"] if "figures" in run] for name, entry in results.items()}
    old = [name for name, runs in measured.items() if any(run.get("arithmetic") != now[name] for run in runs)]
    assert old == list(OLDER)


def test_a_change_of_a_layer_makes_the_rows_that_use_it_old_and_one_of_its_text_does_not(tmp_path):
    for name, code in {
        "experiments/one.py": "from jaxnets import nn",
        "experiments/two.py": "from jaxnets import plots",
        "jaxnets/__init__.py": "",
        "jaxnets/nn/__init__.py": "from jaxnets.nn import conv",
        "jaxnets/nn/conv.py": 'def f(x):\n    "Text."\n    return x + 1\n',
        "jaxnets/plots.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)

    def hashes(code=None):
        if code:
            (tmp_path / "jaxnets/nn/conv.py").write_text(code)
        arithmetic._code.cache_clear()
        return [arithmetic.fingerprint(name, tmp_path) for name in ("one", "two")]

    before = hashes()
    assert hashes('def f(x):\n    "Other text."\n    return (x + 1)  # a comment\n') == before
    imported = "from jaxnets.errors import check, UserError\n"
    for check in ("check(x)", "if x > 1:\n        raise UserError(x)", "for y in x:\n        check(y)"):
        assert hashes(f"{imported}def f(x):\n    {check}\n    return x + 1\n") == before
    for more in ("x = abs(x)", "if x > 1:\n        x = 1", "if (x := x + 1) > 1:\n        raise ValueError"):
        assert hashes(f"def f(x):\n    {more}\n    return x + 1\n")[0] != before[0]
    after = hashes("def f(x):\n    return x + 2\n")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_the_page_says_what_is_derived_of_other_data_printed_twice_and_not_recorded_yet():
    def one(name, epochs=None, options=(), **figures):
        run = {"seed": None, "options": dict(options), "epochs": epochs, "figures": figures}
        run |= {"dataset": "there", "seconds": 1.0}
        return {cells[2]: cells[3:] for cells in results_page.table_rows(name, {"runs": [run]})}

    rows = one("D6 GRU", **{"parameters": 74_621, "rmse": 30.0, "rmse of the last epoch": 100.0})
    assert rows["parameters"][:3] == ["74,621 (derived)", "74,621", "0"]
    assert rows["rmse of the last epoch"][:2] == ["101.478902", "100"]
    assert rows["rmse of the best epoch"][:3] == ["not given", "30", "none"]
    assert rows["mae of the last epoch"][1] == "not recorded yet"
    assert one("C7 C1", 5, val_accuracy=0.5)["val_accuracy"][:3] == ["of other data", "0.5", "none"]
    counts = {"parameters": 198_506, "parameters_here": 152_126}  # of the document's network and of this one
    assert one("C7 C1", 5, **counts)["parameters"][:3] == ["of other data", "152,126", "none"]
    assert one("B2", 5, val_loss=0.07)["val_loss"][0] == "0.073, again 0.0752"
    cut = one("C1", 2, {"epochs": 2}, loss=1.5)
    assert cut["loss"][:2] == ["1.2558", "1.5"]
    assert cut["val_loss"][1] == "not reached in 2 epochs"


def test_a_run_that_ended_by_its_own_rule_is_complete():
    def length(*epochs, **options):
        return results_page.length(ROWS["E2"], [{"epochs": count, "options": options} for count in epochs])

    assert length(30) == ", stopped early after 30 epochs, at most 80"
    assert length(27, 25, 80) == ", stopped early after 25 to 80 epochs, at most 80"
    assert length(30, epochs=30) == ", 30 of 80 epochs"
    assert length(80) == ""


def test_seeds_that_a_script_draws_by_itself_are_known():
    def run(seed=None, **options):
        return {"seed": seed, "options": options}

    assert facts.seeds(ROWS["A11"], run()) == [0]
    assert facts.seeds(ROWS["F8"], run()) == [42]
    assert facts.seeds(ROWS["F5 here"], run()) == [0, 1, 2]
    assert facts.seeds(ROWS["F5 here"], run(seeds=1)) == [0]
    assert facts.seeds(ROWS["B1"], run(18)) == [18]
    assert facts.seeds(ROWS["A7"], run()) == []


def test_many_seeds_in_a_row_are_listed_by_the_first_and_the_last():
    assert results_page.listed(range(10)) == "0 to 9"
    assert results_page.listed([0, 1, 2]) == "0, 1, 2"
    assert results_page.listed([18, 0, 1, 2, 3]) == "18, 0, 1, 2, 3"
    assert results_page.listed([]) == ""


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
    assert (tmp_path / "docs" / "documents.md").exists() == publish


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

    monkeypatch.setattr(importlib.import_module("experiments.gradient_descent"), "main", counted)
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

    monkeypatch.setattr(importlib.import_module("experiments.forward_pass"), "main", broken)
    monkeypatch.setattr(importlib.import_module("experiments.cross_entropy"), "main", missing)
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
    assert difference([1.0, 2.0], [[1.0, 2.25]]) == "at most 0.25"
    assert difference([0.4073, 0.0], [[0.422, 0.0]]) == "at most 0.015"  # 0.0147
    assert difference([1.0, 2.0], [[1.0, math.nan]]) == "nan"


IN_README = {  # by the digits after the point: rows and their figures
    ".4": [
        ("B2", "val_accuracy"),
        ("E2", "val_accuracy after epoch 1", "val_accuracy after epoch 8"),
        ("E4", "val_accuracy"),
        *[(row, "val_accuracy") for row in ("C2", "C1", "C3", "C4", "C6", "C5")],
    ],
    ".1": [("D6 LSTM", "rmse of the last epoch"), ("D6 LSTM", "rmse")],
}


@pytest.mark.parametrize("page, to", [("README.md", "{} ({} to {})"), ("README.zh.md", "{}（{} 至 {}）")])
def test_the_readme_has_the_figures_of_the_page(page, to):
    text = (reproduce.DOCS.parent / page).read_text(encoding="utf-8")
    results = reproduce.load(reproduce.DOCS / "results.md")
    for digits, rows in IN_README.items():
        for name, *figures in rows:
            runs, written = results[name]["runs"], []
            for figure in figures:
                values = [run["figures"][figure] for run in runs]
                shown = [f"{x:{digits}f}".removeprefix("0") for x in (mean(values), min(values), max(values))]
                written.append(shown[0] if len(values) == 1 else to.format(*shown))
            separator = ", " if page == "README.md" else "、"
            assert f" | {separator.join(written)} | {len(runs)} |" in text, name


def test_keras_takes_the_recipes_of_the_scripts():
    from experiments.benchmarks.keras_figures import RECIPES

    for name in ("C1", "C2", "C3", "C4", "C5"):
        system = SYSTEMS[ROWS[name].options["model"]]
        assert RECIPES[name][:3] == (system.model, system.batch_size, facts.epochs(ROWS[name]))
    drawn, recipe = VARIANTS["drawn"], RECIPES["E4"]
    assert recipe.steps == drawn.epochs * drawn.every
    assert (recipe.batch_size, recipe.learning_rate) == (drawn.batch_size, drawn.learning_rate)
