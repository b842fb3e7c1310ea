"""experiments/cifar10_speedrun.py and the published airbench94_muon.py, in turns and on the same images.

    git clone https://github.com/KellerJordan/cifar10-airbench
    python -m experiments.benchmarks.airbench cifar10-airbench/airbench94_muon.py --seeds 30

Airbench's file runs unchanged except for the number of its runs and the source of its images: ours are
written where it looks for those that it would download. Its seconds are its own (CUDA events around training
and the last test, without its warm-up run); ours are wall-clock seconds of the whole call, without the first
one, which compiles. Needs a GPU, PyTorch and torchvision.
"""

from jaxnets.cli import commandline

from experiments.benchmarks import records
from jaxnets import data, machine
from jaxnets.data.device import read_all
from jaxnets.errors import UserError

import json
import re
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CALL = """
import json, sys
sys.path.insert(0, {0!r})
from experiments.cifar10_speedrun import main
measured = main(**{1})
with open("measured.json", "w", encoding="utf-8") as file:
    json.dump(measured, file)
"""


def write_images(dataset: data.Dataset, folder: Path) -> None:
    """Writes both parts as airbench's loader keeps them."""
    import torch

    folder.mkdir(parents=True)
    for part, name in ((dataset.train, "train"), (dataset.test, "test")):
        arrays = read_all(part).arrays
        held = {"images": torch.from_numpy(arrays["x"]), "labels": torch.from_numpy(arrays["y"]).long()}
        torch.save({**held, "classes": list(dataset.features.classes)}, folder / f"{name}.pt")


def final_rows(printed: str, seeds: int) -> list[tuple[float, float]]:
    """Accuracy and seconds of the last so many runs, from the table that airbench prints."""
    rows = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines() if "|" in line]
    return [(float(row[5]), float(row[6])) for row in rows if len(row) > 6 and row[2] == "eval"][-seeds:]


def run(name: str, *arguments: str, folder: Path) -> str:
    """What a Python program prints, which is shown as it comes: compilation alone takes minutes."""
    printed = []
    command = [sys.executable, "-u", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout  # a pipe, as asked for
        for line in process.stdout:
            print(line, end="", flush=True)
            printed.append(line)
    if process.returncode:
        raise UserError(f"{name} failed with exit code {process.returncode}; its own message is above")
    return "".join(printed)


def main(
    script: Path,
    /,
    *,
    seeds: int = 30,
    rounds: int = 2,
    dataset: str = "cifar10",
    data_dir: Path | None = None,
    ours: str = "{}",
    out: Path | None = None,
    publish: bool = False,
) -> dict[str, dict[str, float]]:
    """Run both in turns, print the ratio first, and record.

    Args:
        script: Path of airbench94_muon.py.
        seeds: Number of runs of each in all.
        rounds: Number of rounds over which they are spread.
        dataset: Name of CIFAR-10, as prepared.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        ours: Further settings of cifar10_speedrun.main, as JSON.
        out: Path of the records, to which this adds. By default runs/benchmarks.jsonl.
        publish: Whether to record in docs/ instead, for the authors.
    """
    path = records.place(out, publish)
    found, each = data.load(dataset, data_dir=data_dir), -(-seeds // rounds)
    text = re.sub(r"range\(200\)", f"range({each})", script.read_text(encoding="utf-8"))
    results: dict[str, list[tuple[float, float]]] = {"jaxnets": [], "airbench94_muon": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(found, folder / "cifar10")
        (folder / script.name).write_text(text, encoding="utf-8")
        for number in range(rounds):
            settings = {"seeds": each + 1, "seed": number * (each + 1), "dataset": dataset} | json.loads(ours)
            settings |= {"data_dir": str(data_dir.resolve())} if data_dir else {}
            code = CALL.format(str(records.ROOT), settings)
            run("cifar10_speedrun.py", "-c", code, folder=folder)
            measured = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
            results["jaxnets"] += list(zip(measured["accuracies"], measured["all_seconds"], strict=True))[1:]
            printed = run(script.name, script.name, folder=folder)
            results["airbench94_muon"] += final_rows(printed, each)
    figures = {
        name: {
            "accuracy": statistics.mean(accuracy for accuracy, _ in runs),
            "deviation": statistics.stdev(accuracy for accuracy, _ in runs),
            "seconds": statistics.median(seconds for _, seconds in runs),
            "runs": len(runs),
        }
        for name, runs in results.items()
    }
    ratio = figures["airbench94_muon"]["seconds"] / figures["jaxnets"]["seconds"]
    print(f"{ratio:.2f} times as fast as airbench94_muon")
    for name, of in figures.items():
        accuracy = f"accuracy {of['accuracy']:.4f} +- {of['deviation']:.4f}"
        print(f"{name:16} {accuracy}, {of['seconds']:.3f} s, {of['runs']} runs")
    about: dict[str, Any] = {"hardware": machine.hardware(), "jaxnets": records.fingerprint()}
    about |= {"network": "speednet", "kind": "speedrun", "batch": 2000, "dtype": "bfloat16"}
    about["dataset"] = found.name
    when = datetime.now(UTC).isoformat(timespec="seconds")
    records.append({"when": when, **about, "results": figures}, path)
    return figures


if __name__ == "__main__":
    commandline.run(main)
