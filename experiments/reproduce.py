"""The documents, reproduced: runs the experiments and compares their figures with the documented ones.

    python experiments/reproduce.py                   # all of them, hours on two cores
    python experiments/reproduce.py --only C2 C6      # some of them
    python experiments/reproduce.py --quick           # a smoke run of all of them, minutes

Interrupted runs are resumed and finished ones are skipped. The page, results.md, is written to the workdir
with its pictures and all figures (results.json); rows that were not run keep their figures. Data sets that
are not available are replaced by embedded ones, as the page then says. If you prepared a data set under
another name, give that with --rename:

    python experiments/reproduce.py --rename mnist=mnist_jpeg --files stock=SH600519.csv --data-dir DIR

The authors write docs/results.md in this way, from runs in the same workdir:

    python experiments/reproduce.py --publish
"""

from jaxnets.cli import commandline

from experiments import arithmetic, facts
from experiments.catalogue import ROWS, File, Row
from experiments.index_page import render_index
from experiments.results_page import render
from jaxnets import data, machine
from jaxnets.errors import UserError, lookup

import gc
import inspect
import json
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

DOCS = Path(__file__).parents[1] / "docs"
INDEXES = {"documents.md": False, "index.zh.md": True}


def main(
    *,
    only: tuple[str, ...] = (),
    quick: bool = False,
    epochs: int | None = None,
    seeds: int | None = None,
    rename: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    data_dir: Path | None = None,
    workdir: Path = Path("runs/reproduce"),
    publish: bool = False,
) -> dict[str, Any]:
    """Run what is not done yet, and write the page.

    Args:
        only: Rows of the catalogue, such as A1 C2 D6. By default all.
        quick: Whether to do a smoke run with few epochs and embedded data.
        epochs: Largest number of epochs of every training.
        seeds: Largest number of seeds of every row.
        rename: NAME=OTHER for each data set that is prepared under another name than TFDS's.
        files: NAME=PATH for files of the documents: stock and dots (CSV), resnet50 and xception (weights).
        data_dir: Folder of prepared data sets. By default that of TFDS.
        workdir: Folder for the runs and the page.
        publish: Whether to write the page to docs/ instead, for the authors.
    """
    if publish and quick:
        raise UserError("--publish --quick: a smoke run is not for docs/; leave one of them out")
    names, paths = pairs("--rename", rename), pairs("--files", files)
    wanted = [name for given in only for name in rows_of(given)]
    chosen = [name for name in ROWS if name in wanted or not only]
    workdir = workdir / ("quick" if quick else "full")
    page = (DOCS if publish else workdir) / "results.md"
    for name in chosen:
        row = ROWS[name]
        runs = []
        for seed in ([None, *row.seeds] if not row.seeds else row.seeds)[: 1 if quick else seeds]:
            folder = workdir / "-".join([name.replace(" ", "-"), *([] if seed is None else [str(seed)])])
            options = resolve(row, quick, epochs, names, paths)
            runs.append(run(name, row, options, seed, data_dir, folder))
        record(page, name, row, runs, workdir)
    results = load(page)
    page.write_text(render(results, page.parent), encoding="utf-8")
    if publish:
        for name, chinese in INDEXES.items():
            (DOCS / name).write_text(render_index(results, chinese=chinese), encoding="utf-8")
    print(f"the page is {page}")
    failed = [name for name in chosen if any("defect" in run for run in results[name]["runs"])]
    if failed:
        raise SystemExit(f"{', '.join(failed)}: not as they should be, see above")
    return results


def rows_of(given: str) -> list[str]:
    """The row of this name, or all of a system: D6 is three rows."""
    found = [name for name in ROWS if given == name.split()[0]]
    if given in ROWS or not found:
        lookup(ROWS, given, "row")
        return [given]
    return found


def pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE arguments as a table."""
    for pair in given:
        if "=" not in pair:
            raise UserError(f"{option} {pair}: it must be NAME=VALUE")
    return dict(pair.split("=", 1) for pair in given)


def resolve(
    row: Row, quick: bool, epochs: int | None, names: Mapping[str, str], paths: Mapping[str, str]
) -> dict[str, Any]:
    """What the row's script is called with, seed and folders aside."""
    options = {**row.options, **(row.quick if quick else {})}
    if "dataset" in options:
        options["dataset"] = names.get(options["dataset"], options["dataset"])
    for key, value in list(options.items()):
        if isinstance(value, File):
            del options[key]
            if value in paths and not quick:
                options[key] = Path(paths[value])
    default = facts.epochs(row)
    if epochs and default:
        options["epochs"] = min(epochs, options.get("epochs", default))
    return options


def run(
    name: str, row: Row, options: dict[str, Any], seed: int | None, data_dir: Path | None, folder: Path
) -> dict[str, Any]:
    """Runs one script once, or reads what it measured before with the same options."""
    asked = {key: value.name if isinstance(value, Path) else value for key, value in options.items()}
    done = folder / "result.json"
    if done.exists() and (known := json.loads(done.read_text(encoding="utf-8")))["options"] == asked:
        if known.get("arithmetic") != arithmetic.fingerprint(row.script):
            print(f"{name}: measured with earlier code of what it uses; remove {folder} to measure it again")
        return known
    main = facts.script_of(row).main
    more = {"seed": seed, "data_dir": data_dir, "workdir": folder}
    takes = inspect.signature(main).parameters
    more = {key: value for key, value in more.items() if key in takes and value is not None}
    print(f"\n=== {name}: {row.what}" + ("" if seed is None else f", seed {seed}"), flush=True)
    result: dict[str, Any] = {"options": asked, "seed": seed}
    start = time.perf_counter()
    try:
        measured = main(**options, **more)
    except UserError as error:
        print(f"not measured: {error}")
        return result | {"error": without_folders(str(error), data_dir)}
    except Exception as error:  # one row's defect must not cost the others; reported at the end
        traceback.print_exc()
        return result | {"error": f"{type(error).__name__}: {error}", "defect": True}
    finally:
        jax.clear_caches()
        gc.collect()
    trained = sum(record.get("seconds", 0) for record in measured.get("history", ()))
    result |= {  # of a training that went on, its epochs before count as well
        "seconds": round(max(time.perf_counter() - start, trained), 1),
        "dataset": measured.get("dataset"),
        "epochs": measured.get("epoch", options.get("epochs")),
        "hardware": machine.hardware(),
        "arithmetic": arithmetic.fingerprint(row.script),
        "figures": {key: plain(value) for key, value in measured.items() if is_figure(value)},
    }
    folder.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def without_folders(message: str, data_dir: Path | None) -> str:
    """The message for the page, which says nothing of whose machine it was."""
    for folder, name in ((data_dir, "DATA_DIR"), (Path.home(), "~")):
        message = message.replace(str(folder), name) if folder else message
    return message


def is_figure(value: Any) -> bool:
    """Numbers, short arrays of them and words; not histories and networks."""
    if isinstance(value, str | int | float):
        return True
    return isinstance(value, list | tuple | np.ndarray | np.generic | jax.Array) and np.size(value) <= 16


def plain(value: Any) -> Any:
    """For JSON."""
    return value if isinstance(value, str) else np.asarray(value).tolist()


def record(page: Path, name: str, row: Row, runs: list[dict[str, Any]], workdir: Path) -> None:
    """Puts a row's runs into results.json beside the page, and its picture into a folder there."""
    results = load(page)
    before = results.get(name, {}).get("runs", [{}])[0]
    if is_stand_in(row, runs[0]) and before and not is_stand_in(row, before):
        print(f"{name}: {page.name} keeps what was measured on {before['dataset']}")
        return
    entry: dict[str, Any] = {"runs": runs}
    first = runs[0]["seed"]
    folder = workdir / "-".join([name.replace(" ", "-"), *([] if first is None else [str(first)])])
    drawn = [picture for picture in row.pictures if (folder / picture).exists()]
    copies = [f"results/{name.replace(' ', '-')}-{picture}" for picture in drawn]
    for picture, copy in zip(drawn, copies, strict=True):
        copy_small(folder / picture, page.parent / copy)
    entry["pictures"] = copies
    page.parent.mkdir(parents=True, exist_ok=True)
    page.with_suffix(".json").write_text(
        json.dumps(results | {name: entry}, indent=1) + "\n", encoding="utf-8"
    )


def copy_small(picture: Path, copy: Path) -> None:
    """Copies a PNG for the page: at most 1,200 pixels wide, in 256 colours."""
    from PIL import Image

    copy.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((1200, 2400))
    small.quantize(256).save(copy, optimize=True)


def is_stand_in(row: Row, run: Mapping[str, Any]) -> bool:
    """Whether an embedded data set stood in for the one that the row asks for, or nothing was measured."""
    return "error" in run or (
        run["dataset"] in data.EMBEDDED and run["options"].get("dataset") != run["dataset"]
    )


def load(page: Path) -> dict[str, Any]:
    """What results.json beside the page holds, in the catalogue's order."""
    path = page.with_suffix(".json")
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = ("runs", "pictures")  # what was documented is in the scripts
    return {name: {key: known[name][key] for key in kept} for name in ROWS if name in known}


if __name__ == "__main__":
    commandline.run(main)
