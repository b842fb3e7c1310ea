"""runs/benchmarks.md and its charts from runs/benchmarks.jsonl; with --publish, both in docs/.

    python -m experiments.benchmarks.report

The newest record of every comparison counts. A ratio is the other's time divided by jaxnets': above 1,
jaxnets is faster. What has not been measured has no section.
"""

from jaxnets.cli import commandline

from experiments.benchmarks import records
from experiments.benchmarks.suite import NETWORKS, OTHERS
from jaxnets import plots
from jaxnets.errors import UserError

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
TITLES = {"step": "Training steps", "inference": "Inference"}
INTRODUCTION = """# Benchmarks

Made by `python -m experiments.benchmarks.report` from [benchmarks.jsonl](benchmarks.jsonl), which
`python -m experiments.benchmarks.suite` writes; do not edit. [speed.md](speed.md) says how it is measured.
A ratio is the other's time divided by jaxnets': above 1, jaxnets is faster.
"""


def newest(found: Iterable[Record]) -> list[Record]:
    """The last record of every comparison on every machine."""
    keys = ("hardware", "network", "kind", "batch", "dtype")
    return list({tuple(record[key] for key in keys): record for record in found}.values())


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown, the first column to the left."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows]) + "\n"


def milliseconds(result: Mapping[str, Any] | None) -> str:
    """Of a step, with three digits."""
    if not result or "seconds" not in result:
        return "-"
    value = result["seconds"] * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(record: Record, other: str) -> float | None:
    """How many times as fast as the other jaxnets is."""
    ours, theirs = (record["results"].get(name, {}).get("seconds") for name in ("jaxnets", other))
    return theirs / ours if ours and theirs else None


def least(record: Record) -> float | None:
    """The ratio to the fastest other."""
    known = [value for other in OTHERS if (value := ratio(record, other)) is not None]
    return min(known, default=None)


def shown(value: float | None) -> str:
    """A ratio."""
    return "-" if value is None else f"{value:.2f}x"


def in_order(found: Iterable[Record]) -> list[Record]:
    """As the table of networks has them, small batches first."""
    names = list(NETWORKS)
    return sorted(found, key=lambda r: (names.index(r["network"]), r["dtype"] != "float32", r["batch"]))


def label(record: Record) -> str:
    """Document and network."""
    half = ", bfloat16" if record["dtype"] == "bfloat16" else ""
    return f"{NETWORKS[record['network']].document} {record['network']}{half}"


def times(found: list[Record]) -> str:
    """Milliseconds of everyone, ratio to the fastest other first."""
    header = ["network", "batch", "beside the fastest", "jaxnets ms", *(f"{name} ms" for name in OTHERS)]
    rows = []
    for record in in_order(found):
        each = [milliseconds(record["results"].get(name)) for name in ("jaxnets", *OTHERS)]
        rows.append([label(record), str(record["batch"]), shown(least(record)), *each])
    return table(header, rows)


def memory(found: list[Record]) -> str:
    """Peak memory of training, of the device where it has its own."""
    names = ("jaxnets", *OTHERS)
    rows = []
    for record in in_order(found):
        line = [label(record), str(record["batch"])]
        for name in names:
            result = record["results"].get(name, {})
            peak = result.get("on_device") or result.get("resident")
            line.append(f"{peak / 2**20:,.0f}" if peak else "-")
        rows.append(line)
    return table(["network", "batch", *(f"{name} MiB" for name in names)], rows)


def first_steps(found: list[Record]) -> str:
    """Seconds to the first step, imports among them."""
    names = ["jaxnets", "jaxnets, cached", *OTHERS]
    rows = []
    for record in in_order(found):
        line = [label(record)]
        for name in names:
            result = record["results"].get(name, {})
            line.append(f"{result['seconds']:.1f} ({result['import']:.1f})" if "seconds" in result else "-")
        rows.append(line)
    return table(["network", *names], rows)


def rates(found: list[Record], matrices: list[Record]) -> str:
    """Achieved operations a second of the large networks beside the device's rate at matrix products."""
    lines, rows, peaks = [], [], {}
    for record in matrices:
        rate = {name: 2 * record["batch"] ** 3 / r["seconds"] for name, r in record["results"].items()}
        peaks[record["dtype"]] = max(rate.values())
        measured = ", ".join(f"{name} {value / 1e9:,.0f}" for name, value in rate.items())
        lines.append(f"Square matrices, {record['batch']} rows, {record['dtype']}: {measured} GFLOP/s.\n")
    for record in in_order(found):
        each = 6 * record["results"]["jaxnets"].get("multiply_adds", 0)  # forwards, and twice that backwards
        if record["dtype"] not in peaks or each < 1e9:
            continue
        line = [label(record), str(record["batch"])]
        for name in ("jaxnets", *OTHERS):
            seconds = record["results"].get(name, {}).get("seconds")
            speed = each * record["batch"] / seconds if seconds else 0.0
            line.append(f"{speed / 1e9:,.0f} ({speed / peaks[record['dtype']]:.0%})" if seconds else "-")
        rows.append(line)
    if rows:
        lines.append("Training, six operations a multiply-add, GFLOP/s and their share of that rate:\n")
        lines.append(table(["network", "batch", "jaxnets", *OTHERS], rows))
    return "\n".join(lines)


def over_devices(found: list[Record]) -> str:
    """Milliseconds of a step shared by several devices."""
    names = sorted({name for record in found for name in record["results"]})
    rows = [
        [label(record), str(record["batch"]), *(milliseconds(record["results"].get(n)) for n in names)]
        for record in in_order(found)
    ]
    return table(["network", "batch", *(f"{name}, ms" for name in names)], rows)


def speedruns(found: list[Record]) -> str:
    """CIFAR-10 beside airbench."""
    rows = []
    for record in found:
        for name, of in record["results"].items():
            accuracy = f"{of['accuracy']:.4f} +- {of['deviation']:.4f}"
            rows.append([name, record["dataset"], accuracy, f"{of['seconds']:.3f}", str(of["runs"])])
    return table(["training", "images", "accuracy", "seconds", "runs"], rows)


def about(found: list[Record]) -> str:
    """Versions, with what was measured by which if there are several, and the settings that won."""
    versions: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    settings: dict[str, set[str]] = defaultdict(set)
    for record in found:
        for name, result in record["results"].items():
            for package, version in result.get("versions", {}).items():
                versions[package][version].add(record["kind"])
            if result.get("settings"):
                settings[name].add(result["settings"])
    chosen = "; ".join(f"{name}: {' or '.join(sorted(of))}" for name, of in settings.items())
    listed = ", ".join(f"{package} {in_words(of)}" for package, of in sorted(versions.items()))
    dates = sorted(record["when"][:10] for record in found)
    return f"{dates[0]} to {dates[-1]}; {listed}. Settings that won: {chosen}.\n"


def in_words(versions: Mapping[str, set[str]]) -> str:
    """A package's versions: "1.0", or "1.0 (step) and 1.1 (inference)"."""
    if len(versions) == 1:
        return next(iter(versions))
    return " and ".join(f"{version} ({', '.join(sorted(kinds))})" for version, kinds in versions.items())


def chart(machines: Mapping[str, list[Record]], path: Path) -> None:
    """Bars: how many times as fast as the fastest other jaxnets trains, one panel a machine."""
    of = {name: [r for r in found if r["kind"] == "step" and least(r)] for name, found in machines.items()}
    of = {name: in_order(found) for name, found in of.items() if found}
    if not of:
        return
    with plots.figure(path, 1, len(of), size=(6.5, 0.9 + 0.22 * max(map(len, of.values())))) as axes:
        for axis, (name, found) in zip(axes[0], of.items(), strict=True):
            names = [f"{label(record)}, {record['batch']}" for record in found]
            values = [least(record) or 0.0 for record in found]
            colours = [plots.COLOURS[0] if value >= 1 else plots.COLOURS[1] for value in values]
            bars = axis.barh(names, values, color=colours, height=0.6)
            for number in axis.bar_label(bars, fmt="%.2f", padding=3, color="#333333"):
                number.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
            axis.axvline(1, color="#333333", linewidth=1)
            axis.invert_yaxis()
            axis.grid(False)
            axis.margins(x=0.12)
            axis.set_title(name, fontsize=8)
            axis.set_xlabel("speed of a training step beside the fastest other framework")


def scaling(found: list[Record], path: Path) -> bool:
    """Examples a second over batch sizes, of networks trained at three or more; whether there are any."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for record in in_order(found):
        for name, result in record["results"].items():
            if "seconds" in result:
                point = record["batch"], record["batch"] / result["seconds"]
                panels.setdefault(label(record), {}).setdefault(name, []).append(point)
    panels = {name: of for name, of in panels.items() if max(map(len, of.values())) > 2}
    if not panels:
        return False
    with plots.figure(path, 1, len(panels), size=(6.5, 3.5)) as axes:
        for axis, (name, of) in zip(axes[0], panels.items(), strict=True):
            for contestant, points in of.items():
                axis.loglog(*zip(*points, strict=True), marker="o", markersize=3, label=contestant)
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter("{x:.0f}")
            axis.yaxis.set_major_formatter("{x:,.0f}")
            axis.set_xlabel("batch")
            axis.set_ylabel(f"{name}: examples a second")
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return True


def section(title: str, found: list[Record], write: Callable[[list[Record]], str]) -> list[str]:
    """A heading and what is below it, if there is anything."""
    return [f"### {title}\n", write(found)] if found else []


def main(*, path: Path | None = None, out: Path | None = None, publish: bool = False) -> None:
    """Write the tables and the chart.

    Args:
        path: Path of the records. By default runs/benchmarks.jsonl.
        out: Path of the Markdown file; the chart gets the same name with .png. By default beside the
            records.
        publish: Whether to read and write in docs/ instead, for the authors.
    """
    path = records.place(path, publish)
    out = out or path.with_suffix(".md")
    if not path.exists():
        raise UserError(f"{path}: nothing is recorded there yet; run the suite first")
    machines: dict[str, list[Record]] = defaultdict(list)
    latest = sorted(newest(records.read(path)), key=lambda record: record["when"], reverse=True)
    for record in latest:  # the machine that was measured last comes first
        machines[record["hardware"]].append(record)
    parts = [INTRODUCTION]
    chart(machines, out.with_suffix(".png"))
    if out.with_suffix(".png").exists():
        parts.append(f"![training steps beside the fastest other]({out.stem}.png)\n")
    for number, (hardware, found) in enumerate(machines.items(), 1):
        of: dict[str, list[Record]] = defaultdict(list)
        for record in found:
            of[record["kind"]].append(record)
        parts += [f"## {hardware}\n", about(found)]
        for kind, title in TITLES.items():
            parts += section(f"{title}, milliseconds", of[kind], times)
        picture = out.with_name(f"{out.stem}_scaling_{number}.png")
        if scaling(of["step"], picture):
            parts.append(f"![examples a second over batch sizes]({picture.name})\n")
        parts += section("Seconds to the first training step (imports)", of["start"], first_steps)
        parts += section("Peak memory while training", of["step"], memory)
        parts += section("Arithmetic", of["matrix"], partial(rates, of["step"]))
        parts += section("One batch over several devices", of["devices"], over_devices)
        parts += section("94% on CIFAR-10", of["speedrun"], speedruns)
    out.write_text("\n".join(parts), encoding="utf-8")
    print(f"{out}: {sum(map(len, machines.values()))} comparisons on {len(machines)} machines")


if __name__ == "__main__":
    commandline.run(main)
