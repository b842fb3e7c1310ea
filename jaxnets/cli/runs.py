"""The commands runs and plot: what was trained, side by side."""

import csv
import importlib.util
import itertools
import json as json_format
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from jaxnets.errors import UserError, lookup

if TYPE_CHECKING or not importlib.util.find_spec("tyro"):  # commandline.run says what to install
    Folder: TypeAlias = Path
    Folders: TypeAlias = list[Path]
else:
    from tyro.conf import Positional, arg

    Folder = Annotated[Positional[Path], arg(metavar="FOLDER")]
    Folders = Annotated[Positional[list[Path]], arg(metavar="RUN ...")]

if TYPE_CHECKING:
    from jaxnets.runs.collect import Found, Listed

FIRST = ("run", "model", "dataset", "epochs", "asked", "finished", "date")  # what every row has
NUMBERS = ("epochs", "asked", "finished")
MOST_FIRST = ("date", "epochs")  # of these columns more is better; of measures, as their names say


def runs(
    folder: Folder = Path("runs"), /, *, sort: str = "run", json: bool = False, csv: bool = False
) -> None:
    """List the runs in a folder: how far each is, its last and best measures, and in what they differ.

    Args:
        folder: The folder, with runs in it or in folders within.
        sort: What to sort by: run (the folder's name), date (newest first), epochs, model, dataset, or a
            measure such as val_accuracy, whose best values come first.
        json: Print a JSON list instead of a table.
        csv: Print comma-separated values, with a header, instead of a table.
    """
    if json and csv:
        raise UserError("--json --csv: leave one of them out")
    from jaxnets.runs.collect import collect

    found = collect(folder)
    _say_what_is_left_out(found)
    rows = _sorted([_row(run, differs) for run, differs in _with_differences(found.runs)], sort)
    if json:
        print(json_format.dumps(rows, indent=2))
    elif csv:
        _print_csv(rows)
    elif rows:
        _print_table(rows)
    else:
        print(f"{folder} holds no run yet", file=sys.stderr)


def plot(folders: Folders, /, *, output: Path | None = None, overwrite: bool = False) -> None:
    """Draw the curves of several runs in one picture; its legend says in what they differ.

    Args:
        folders: The runs' folders, or folders with runs in them.
        output: PNG file to draw. By default comparison.png here, with a number if there is one already.
        overwrite: Replace the file if it exists.
    """
    from jaxnets import plots
    from jaxnets.runs.collect import collect, differences, in_words

    if not folders:
        raise UserError("no run given: name one or more folders of runs")
    output = _output(output, overwrite)
    parts = [collect(folder) for folder in folders]
    for part in parts:
        _say_what_is_left_out(part)
    unique = {run.folder.resolve(): run for part in parts for run in part.runs}
    chosen = [run for run in unique.values() if run.last]
    for run in unique.values():
        if not run.last:
            print(f"left out: {run.folder} has no epoch yet", file=sys.stderr)
    if not chosen:
        raise UserError("none of these has a finished epoch: let a training run for one first")
    told = [in_words(differs) for differs in differences(chosen)]
    names = [
        text if text and told.count(text) == 1 else str(run.folder)
        for run, text in zip(chosen, told, strict=True)
    ]
    measured = {name.removeprefix("val_"): None for run in chosen for name in run.last}
    plots.compare(
        {name: run.history for name, run in zip(names, chosen, strict=True)},
        output,
        measures=sorted(measured, key=lambda name: (name != "accuracy", name != "loss", name)),
    )
    print(f"{output}: {len(chosen)} run{'s' if len(chosen) > 1 else ''}")


def _output(output: Path | None, overwrite: bool) -> Path:
    """Returns the file to draw, which is not there yet or may be replaced."""
    if output is None:
        names = itertools.chain(["comparison"], (f"comparison-{number}" for number in itertools.count(2)))
        return next(path for name in names if not (path := Path(f"{name}.png")).exists())
    if output.suffix.lower() != ".png":
        raise UserError(f"--output {output}: its name must end in .png")
    if output.exists() and not overwrite:
        raise UserError(f"--output {output} exists: give another name, or --overwrite to replace it")
    return output


def _say_what_is_left_out(found: "Found") -> None:
    for sentence in found.broken:
        print(f"left out: {sentence}", file=sys.stderr)
    if found.others:
        print(f"no runs in: {', '.join(map(str, found.others))}", file=sys.stderr)


def _with_differences(found: Sequence["Listed"]) -> list[tuple["Listed", dict[str, Any]]]:
    from jaxnets.runs.collect import differences

    return list(zip(found, differences(found), strict=True))


def _row(run: "Listed", differs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what --json prints of a run."""
    return {
        "run": str(run.folder),
        "model": run.config.get("model"),
        "dataset": run.config.get("dataset"),
        "epochs": run.epochs,
        "asked": run.asked,
        "finished": run.finished,
        "date": run.date,
        "last": run.last,
        "best": {name: {"value": value, "epoch": epoch} for name, (value, epoch) in run.best.items()},
        "differs": {key: value for key, value in differs.items() if key not in FIRST},
    }


def _sorted(rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """Returns the rows with the best first; those without the value come last."""
    from jaxnets.train.monitor import sign_of

    measures = dict.fromkeys(name for row in rows for name in row["best"])
    if rows:
        lookup(dict.fromkeys((*FIRST, *measures)), by, "column to sort by")
    if by == "run":
        return rows  # as they were found
    if by in measures:
        known = [row for row in rows if by in row["best"]]
        known.sort(key=lambda row: sign_of(by) * row["best"][by]["value"])
    else:
        known = [row for row in rows if row[by] is not None]
        known.sort(key=lambda row: row[by] if by in NUMBERS else str(row[by]), reverse=by in MOST_FIRST)
    return known + [row for row in rows if row not in known]


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the rows in columns, with the last and in brackets the best value of each measure."""
    from jaxnets.runs.collect import in_words

    measures = _shown(rows)
    table = [["run", "model", "data set", "epochs", "finished", *measures, "date (UTC)", "differs in"]]
    for row in rows:
        epochs = f"{row['epochs']}/{max(row['epochs'], row['asked'])}" if row["asked"] else str(row["epochs"])
        values = [
            f"{row['last'][name]:.4f} ({row['best'][name]['value']:.4f})" if name in row["last"] else "-"
            for name in measures
        ]
        names = [row["run"], row["model"] or "-", row["dataset"] or "-"]
        date = row["date"][:16].replace("T", " ")
        finished = {True: "yes", False: "no", None: "-"}[row["finished"]]
        table.append([*map(str, names), epochs, finished, *values, date, in_words(row["differs"])])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if measures:
        print("(in brackets the best epoch's)")


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the measures in the table: the held-out ones of runs that have any, and others' own."""
    shown: dict[str, None] = {}
    for row in rows:
        held_out = [name for name in row["last"] if name.startswith("val_")]
        shown |= dict.fromkeys(held_out or row["last"])
    return list(shown)


def _print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    from jaxnets.runs.collect import in_a_word

    measures = list(dict.fromkeys(name for row in rows for name in row["last"]))
    settings = list(dict.fromkeys(key for row in rows for key in row["differs"]))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    best = [f"{kind}_{name}" for name in measures for kind in ("best", "best_epoch_of")]
    writer.writerow([*FIRST, *measures, *best, *settings])
    for row in rows:
        values = [row["last"].get(name) for name in measures]
        of_best = [row["best"].get(name, {}).get(key) for name in measures for key in ("value", "epoch")]
        differs = [row["differs"].get(key) for key in settings]
        differs = ["" if value is None else in_a_word(value) for value in differs]
        writer.writerow([*(row[key] for key in FIRST), *values, *of_best, *differs])
