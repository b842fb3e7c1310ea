"""The results page: what is documented beside what was measured, a table a chapter."""

from experiments.catalogue import CHAPTERS, ROWS

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

HEAD = """\
# Results

Every system of the documents, run by `experiments/reproduce.py`: the documented figure, the measured one, and
the difference. Where several seeds were run, the mean stands first and the least and the greatest behind it.
Seconds are those of one run, everything included (reading, compiling, evaluating, drawing): upper bounds if
the machine did other work as well. `results.json` holds every run by itself.

"""
NOTES = {  # what the names of data mean
    "cifar10_jpeg": "CIFAR-10, all of it, as JPEG of quality 75: a re-encoding, slightly lossy",
    "mnist_jpeg": "MNIST, all of it, as JPEG: a re-encoding",
    "fashion_debian": "Fashion-MNIST, lossless, from Debian's package dataset-fashion-mnist",
    "iris": "150 irises, from scikit-learn",
    "digits": "scikit-learn's 1,797 digits, 8x8 enlarged to 28x28",
    "synthetic walk": "a random walk of the length of the course's series",
}
COLUMNS = ("", "system", "figure", "documented", "measured", "difference", "data", "seeds", "seconds")


def render(results: Mapping[str, Any], folder: Path) -> str:
    """Returns the page.

    Args:
        results: What results.json holds.
        folder: Folder of the page; pictures that are not there are left out.
    """
    parts, used = [HEAD], set()
    machines: dict[str, list[str]] = {}
    for letter, title in CHAPTERS.items():
        rows = {name: results.get(name) for name in ROWS if name.startswith(letter)}
        parts.append(f"## {letter}. {title}\n\n{line(COLUMNS)}\n{line(['---'] * len(COLUMNS))}\n")
        pictures = []
        for name, entry in rows.items():
            parts += [line(cells) + "\n" for cells in table_rows(name, entry)]
            for run in entry["runs"] if entry else []:
                used.add(run.get("dataset"))
                if "hardware" in run and name not in machines.setdefault(run["hardware"], []):
                    machines[run["hardware"]].append(name)
            shown = [path for path in entry["pictures"] if (folder / path).exists()] if entry else []
            if shown:
                drawn = "\n".join(f"![{name}: {ROWS[name].what}]({path})" for path in shown)
                pictures.append(f"**{name}** {ROWS[name].what}\n\n{drawn}\n")
        parts.append("\n" + "\n".join(pictures) + "\n")
    notes = [f"- `{name}`: {note}\n" for name, note in NOTES.items() if name in used]
    notes += [f"- measured on {machine}: {', '.join(names)}\n" for machine, names in machines.items()]
    parts.append("## Data and hardware\n\n" + "".join(notes))
    return "".join(parts).rstrip() + "\n"


def table_rows(name: str, entry: Mapping[str, Any] | None) -> list[list[str]]:
    """The lines of one system: one a figure, the first of which says what it is."""
    row = ROWS[name]
    what = f"[{row.what}](../experiments/{row.script}.py)"
    if entry is None:
        return [[name, what, "", "", "not run yet, for want of time", "", "", "", ""]]
    runs = [run for run in entry["runs"] if "figures" in run]
    if not runs:
        return [[name, what, "", "", f"not measured: {entry['runs'][0]['error']}", "", "", "", ""]]
    known = [figure for figure in entry["figures"] if figure in runs[0]["figures"]]
    missing = [figure for figure in entry["figures"] if figure not in runs[0]["figures"]]
    epochs, wanted = runs[0]["epochs"], entry["epochs"]
    if epochs and wanted and epochs < wanted:
        what += f", {epochs} of {wanted} epochs"
    seconds = text(round(mean(run["seconds"] for run in runs), 1))
    seeds = ", ".join(str(run["seed"]) for run in runs if run["seed"] is not None) or "none drawn"
    about = [runs[0]["dataset"] or "computed", seeds, seconds]
    lines: list[list[str]] = []
    for figure in known:
        values = [run["figures"][figure] for run in runs]
        documented = entry["documented"].get(figure)
        digits = precision(documented)
        cells = ["not given" if documented is None else text(documented, digits), spread(values, digits)]
        cells.append(difference(documented, values))
        lines.append([figure, *cells, *(about if not lines else ["", "", ""])])
    lines += [
        [
            figure,
            text(entry["documented"].get(figure, "not given")),
            f"not reached in {epochs} epochs",
            "none",
            "",
            "",
            "",
        ]
        for figure in missing
    ]
    lines = lines or [["pictures", "pictures", "pictures", "none", *about]]
    return [[name, what, *cells] if not index else ["", "", *cells] for index, cells in enumerate(lines)]


def precision(documented: Any) -> int:
    """How many significant digits a documented figure has, and at least 4."""
    numbers = [number for number in np.ravel(documented).tolist() if isinstance(number, float)]
    return max([4, *(len(f"{number}".replace(".", "").lstrip("-0")) for number in numbers)])


def spread(values: Sequence[Any], digits: int) -> str:
    """A value, or the mean of several with the extremes."""
    if len({str(value) for value in values}) == 1 or isinstance(values[0], str | list):
        return text(values[0], digits)
    digits = min(digits, 5)  # seeds differ by more
    return f"{text(mean(values), digits)} ({text(min(values), digits)} to {text(max(values), digits)})"


def difference(documented: Any, values: Sequence[Any]) -> str:
    """Of numbers: measured minus documented; of arrays the largest one."""
    if documented is None or isinstance(documented, str):
        return "none" if documented is None else ("equal" if documented == values[0] else "see beside")
    gaps = np.mean([np.asarray(value, float) for value in values], axis=0) - np.asarray(documented, float)
    if not np.any(gaps):
        return "0"
    return f"{float(gaps):+.3g}" if gaps.ndim == 0 else f"at most {np.abs(gaps).max():.1g}"


def text(value: Any, digits: int = 6) -> str:
    """A figure as it is printed: whole numbers with commas, others to so many digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(text(item, digits) for item in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table; [1 2] [3 4] is a matrix in it, and no link."""
    whole = (cell.replace("|", "\\|").replace("\n", " ").replace("] [", "] \\[") for cell in cells)
    return "| " + " | ".join(whole) + " |"
