"""The results page: documented figures beside measured ones, with a table for each chapter."""

from experiments import facts
from experiments.catalogue import CHAPTERS, OLDER, ROWS, Row

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

KERAS = Path("results", "keras.json")  # what keras_figures.py measured
HEAD = """\
# Results

Every system of the documents, run by `experiments/reproduce.py`, with the documented figure, the measured one
and their difference. If several seeds were run, the mean is followed by the least and the greatest value.
Seconds are those of one run, including reading, compiling, evaluating and drawing; if the machine did other
work as well, they are upper bounds. Figures marked (derived) stand in no document and follow from it.
`results.json` holds the figures of every single run, and [documents.md](documents.md) lists the systems by
the documents' own headings.

"""
NOTES = {  # what the names of data sets mean
    "cifar10_jpeg": "CIFAR-10, all of it, re-encoded as JPEG of quality 75, which is slightly lossy",
    "mnist_jpeg": "MNIST, all of it, re-encoded as JPEG",
    "fashion_debian": "Fashion-MNIST, lossless, from Debian's package dataset-fashion-mnist",
    "animals_jpeg": "the five animals of `cifar10_jpeg` from bird to frog: five classes, as the flowers have",
    "iris": "150 irises, from scikit-learn",
    "digits": "scikit-learn's 1,797 digits, 8x8 enlarged to 28x28",
    "synthetic walk": "a random walk of the length of the course's series",
}
REMARKS = {  # what a table cannot show; a chapter's stand below its table
    "A1, A2": "All 80 lines that the document prints come out the same, to the last digit.",
    "A6": "`jax.grad` agrees with the written-out derivatives to 1e-7.",
    "A10": "Losses of the last batch in epoch 380. The documented run had no seed; the medians of the "
    "seeds 0 to 9 are 0.024 without the penalty and 0.093 with it.",
    "A12": "All five optimizers end with a test accuracy of 1.0. Their seconds include compilation.",
    "B1": "At this learning rate the held-out accuracy swings between 0.5 and 1.0 to the end, and its "
    "value in epoch 500 depends on the order of the last batches: 13 of the seeds 0 to 19 end with 1.0. "
    "Seed 18 is the first of them that has both documented accuracies.",
    "B9": "There are 200 photographs, prepared as documented. Of the held-out digits themselves, the same "
    "networks read 0.973 to 0.976 right. Prepared as jaxnets does by default, they read 0.965 to 0.985 of "
    "these photographs, and 0.915 to 0.985 of those in nine other kinds of light.",
    "C1 to C6": "Where all epochs were run, training accuracies agree within 0.05. On the held-out images, "
    "networks with batch normalization move up and down from epoch to epoch (Baseline with seed 1: 0.5152, "
    "0.5024, 0.5605, 0.5272, 0.4659), in Keras as well. The document has one run of each, so a difference of "
    "a few hundredths says nothing. AlexNet-8, VGG-16 and ResNet-18 end with training losses 0.07 to 0.11 "
    "above the documented ones. Keras itself, trained on the same JPEG copy of the images, ends 0.13 above "
    "the documented loss of AlexNet-8 and 0.12 above that of Inception-10: there the images or the seeds are "
    "the reason, and not the code.",
    "C2": "How far it gets depends on the first weights. After two epochs the losses of 16 trainings (seeds "
    "100 to 115) are 1.804 with jaxnets (standard deviation 0.044) and 1.812 with Keras (0.066). From the "
    "same first weights that of jaxnets is lower by 0.014, with a standard error of 0.011.",
    "C5 BN": "In the 49 steps of an epoch the running statistics, with Keras's momentum of 0.99, go only two "
    "fifths of their way to those of the batches, which move on meanwhile: hence an accuracy on the held-out "
    "images of 0.1 after the first epoch, and of 0.24 after five.",
    "D2 to D5": "All of the seeds 0 to 9 end with an accuracy of 1.0, except for one of D4. The 100 epochs "
    "take 0.01 s; the rest is starting and compiling.",
    "D6": "The documented errors were printed for all three networks, and are those of one LSTM after its "
    "last epoch: its validation loss of 0.0205 gives an RMSE of 101.43. The best epoch is that with the "
    "least held-out loss, whose weights the document saves and does not use. No network "
    "knows more about tomorrow than today's price says. The late prices lie above all that was trained on, "
    "where the networks predict too little, and the epoch that is kept was chosen on the same days that "
    "judge it.",
    "E5": "The largest difference is that between the probabilities of NumPy and of JAX.",
    "F2": "The documented averages and ours are float32 sums of 8,400 pixels, added in different orders. "
    "Beside sums in float64, the document is up to 6e-6 off, and ours are up to 2e-6 off.",
    "F4": "Not measured for want of a network connection. With a file of random weights made by Keras, the "
    "classes, names and probabilities are Keras's own: a test holds that.",
    "F5": "Not measured for want of a network connection. A test runs both stages on a small backbone and "
    "made-up photos: what stays in place, what then moves and what is counted; the accuracies that the "
    "official weights give are unseen.",
    "F5 here": "Means of three seeds, of weights and images alike: 0.4112 to 0.4946 from scratch, 0.5134 "
    "to 0.5284 with the backbone frozen, 0.5448 to 0.5568 with it then thawed. On the digits the backbone "
    "does not help (means of 0.9247, 0.7797 and 0.9209): ten images of a new digit are enough, and a "
    "network that has seen five digits has only learned to tell those apart.",
    "F3": "Nadam's momentum rises as in TensorFlow 2.5, for which the document was written; the row after it "
    "has that of Keras 3, which rises 250 times as fast. With the same seed both end at the same accuracy of "
    "the test images, within 0.003.",
    "F6": "Of digits pasted anywhere, so that the boxes are true; the document's boxes are random, see F6 "
    "Xception. Accuracy and IoU are still rising after 20 epochs: the boxes' error is small beside the "
    "cross-entropy, so that their head learns last.",
    "F6 Xception": "The document has flowers and the weights of ImageNet. Here small photographs of five "
    "animals are scaled to 224x224, and the weights are drawn at random: the path is the same (two heads, "
    "weighted losses, ten steps), and what ImageNet's weights add to it is unseen.",
    "F7": "COCO's rule, 101 points of recall, gives 0.6917 on the same curve.",
    "F8": "The largest difference is that between the two ways to compute the output.",
    "F9": "Losses are means of ten steps. On the digits they go from 2.39 to 0.47 (seed 0).",
}
LABELS = {  # figures whose names in a run are short
    "seconds": "seconds of the last epoch",
    "rmse": "rmse of the best epoch",
    "mae": "mae of the best epoch",
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
    kept = folder / KERAS
    keras = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
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
            shown = [path for path in entry["pictures"] if is_shown(folder / path, entry)] if entry else []
            if shown:
                drawn = "\n".join(f"![{name}: {ROWS[name].what}]({path})" for path in shown)
                pictures.append(f"**{name}** {ROWS[name].what}\n\n{drawn}\n")
        remarks = [f"- **{names}**: {remark}\n" for names, remark in REMARKS.items() if names[0] == letter]
        remarks += [keras_remark(name, found) for name, found in keras.items() if name[0] == letter]
        parts.append("\n" + "".join(remarks) + "\n" + "\n".join(pictures) + "\n")
    notes = [f"- `{name}`: {note}\n" for name, note in NOTES.items() if name in used]
    if older := [name for name in OLDER if name in results]:
        notes.append(f"- measured with earlier code, to be run again: {', '.join(older)}\n")
    notes += [f"- measured on {machine}: {', '.join(names)}\n" for machine, names in machines.items()]
    parts.append("## Data and hardware\n\n" + "".join(notes))
    return "".join(parts).rstrip() + "\n"


def keras_remark(name: str, found: Mapping[str, Any]) -> str:
    """What Keras itself reached in this row, as keras_figures.py keeps it."""

    def spread(figure: str) -> str:
        values = found[figure]
        return f"{mean(values):.4f}" + f" ({min(values):.4f} to {max(values):.4f})" * (len(values) > 1)

    seeds = f"the seed{'s' * (len(found['seeds']) > 1)} {listed(found['seeds'])}"
    figures = ", ".join(f"{figure} {spread(figure)}" for figure in ("loss", "val_loss", "val_accuracy"))
    length = f"{found['steps']:,} steps" if "steps" in found else f"{found['epochs']} epochs"
    which = f"Keras {found['keras']} itself" + (f" on {found['backend']}" if "backend" in found else "")
    return (
        f"- **{name}**: {which}, {length} on {found['dataset']} with {seeds}: {figures} "
        "([keras_figures.py](../experiments/benchmarks/keras_figures.py)).\n"
    )


def listed(seeds: Sequence[int]) -> str:
    """Seeds as words: "0, 1, 2", or "0 to 9" if there are many in a row."""
    first, count = (seeds[0] if seeds else 0), len(seeds)
    if count > 4 and list(seeds) == list(range(first, first + count)):
        return f"{first} to {first + count - 1}"
    return ", ".join(map(str, seeds))


def is_shown(picture: Path, entry: Mapping[str, Any]) -> bool:
    """Whether there is a picture, and more than one point in its curves."""
    return picture.exists() and not (picture.stem.endswith("curves") and entry["runs"][0].get("epochs") == 1)


def table_rows(name: str, entry: Mapping[str, Any] | None) -> list[list[str]]:
    """The lines of one system: one a figure, the first of which says what it is."""
    row = ROWS[name]
    what = f"[{row.what}](../experiments/{row.script}.py)"
    if entry is None:
        return [[name, what, "", "", "not run yet, for want of time", "", "", "", ""]]
    runs = [run for run in entry["runs"] if "figures" in run]
    if not runs:
        return [[name, what, "", "", f"not measured: {entry['runs'][0]['error']}", "", "", "", ""]]
    what += length(row, runs)
    seeds = listed([seed for run in runs for seed in facts.seeds(row, run)]) or "none drawn"
    seconds = text(round(mean(run["seconds"] for run in runs), 1))
    about = [runs[0]["dataset"] or "computed", seeds, seconds]
    lines = [[LABELS.get(figure, figure), *cells(row, figure, runs)] for figure in facts.figures(row)]
    lines = lines or [["pictures", "pictures", "pictures", "none"]]
    return [
        [name, what, *line, *about] if not index else ["", "", *line, "", "", ""]
        for index, line in enumerate(lines)
    ]


def length(row: Row, runs: Sequence[Mapping[str, Any]]) -> str:
    """How trainings were shorter than documented: cut, or complete, since they ended by their own rule."""
    epochs, wanted = [run["epochs"] or 0 for run in runs], facts.epochs(row)
    if not wanted or not min(epochs) or min(epochs) >= wanted:
        return ""
    count = " to ".join(map(str, sorted({min(epochs), max(epochs)})))
    if runs[0]["options"].get("epochs", wanted) >= wanted:
        return f", stopped early after {count} epochs, at most {wanted}"
    return f", {count} of {wanted} epochs"


def cells(row: Row, figure: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A figure as documented and as measured, and their difference."""
    documented = facts.documented(row).get(figure)
    digits = precision(documented)
    told = "not given" if documented is None else text(documented, digits)
    if documented is not None and not row.documented:
        told, documented = "of other data", None
    elif figure in facts.again(row):
        told += f", again {text(facts.again(row)[figure], digits)}"
    if figure in facts.derived(row):
        told += " (derived)"
    if figure == "parameters" and not row.documented:
        figure = "parameters_here"  # of the network for these data, not for the documented input
    if any(figure not in run["figures"] for run in runs):
        short = " of " in length(row, runs)
        return [told, f"not reached in {runs[0]['epochs']} epochs" if short else "not recorded yet", "none"]
    values = [run["figures"][figure] for run in runs]
    return [told, spread(values, digits), difference(documented, values)]


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
    """Of numbers: measured minus documented; of arrays the largest one, rounded up to two digits."""
    if documented is None or isinstance(documented, str):
        return "none" if documented is None else ("equal" if documented == values[0] else "see beside")
    gaps = np.mean([np.asarray(value, float) for value in values], axis=0) - np.asarray(documented, float)
    if not np.any(gaps):
        return "0"
    if gaps.ndim == 0:
        return f"{float(gaps):+.3g}"
    largest = np.abs(gaps).max()
    if not math.isfinite(largest):
        return str(largest)
    scale = 10.0 ** (1 - math.floor(math.log10(largest)))
    return f"at most {math.ceil(largest * scale) / scale:.2g}"


def text(value: Any, digits: int = 6) -> str:
    """A figure as it is printed: whole numbers with commas, others to so many digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return " ".join(text(item, digits) for item in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table; [1 2] [3 4] is a matrix in it, and no link."""
    whole = (cell.replace("|", "\\|").replace("\n", " ").replace("] [", "] \\[") for cell in cells)
    return "| " + " | ".join(whole) + " |"
