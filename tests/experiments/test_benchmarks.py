"""The bench: contestants are the same network and do what they are told; records, skipping, tables."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks import airbench, contest, contestants, records, report, starts, suite
from experiments.benchmarks.contest import Spec
from jaxnets.accelerators import CHIPS
from jaxnets.cli.arguments import check
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from jaxnets.summary import summarize

MLP = {"network": "mlp", "shape": (28, 28, 1), "batch": 4}


@pytest.mark.parametrize("name", ["jaxnets", "keras-jax"])
@pytest.mark.parametrize("kind", ["step", "inference"])
def test_contestants_in_jax_run_the_documented_network(name, kind, monkeypatch):
    said = []
    monkeypatch.setattr(contestants, "say", said.append)
    with jax.numpy_rank_promotion("allow"):  # Keras relies on it
        ready = contestants.CONTESTANTS[name](Spec(name, **MLP, kind=kind))
        assert ready.parameters == 101_770
        assert contest.seconds_a_step(ready.run, 2 * ready.unit) > 0
    assert said == ["imported"]


def test_the_best_setting_stays_and_all_are_noted(monkeypatch):
    """By a clock that only the steps move."""
    clock, now = {"slow": 0.02, "fast": 0.001}, [0.0]
    monkeypatch.setattr(contest, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def make(name):
        def run(steps):
            now[0] += clock[name] * steps

        return run

    makers = {name: lambda name=name: make(name) for name in clock}
    name, _, tried = contest.best_of(makers, Spec("torch", **MLP))
    assert (name, tried) == ("fast", pytest.approx(clock))
    name, _, tried = contest.best_of(makers, Spec("torch", **MLP, tune=False))
    assert (name, tried) == ("slow", {})


def test_every_network_of_the_table_has_its_twins():
    keras_twins = pytest.importorskip("tests.keras_twins")
    assert set(suite.NETWORKS) <= set(keras_twins.KERAS_MODELS)
    assert set(suite.NETWORKS) <= set(MODELS)


def test_pytorch_twins_have_as_many_parameters():
    torch = pytest.importorskip("torch", reason="PyTorch is only a competitor")
    from experiments.benchmarks.torch_twins import TORCH_MODELS, make, parameters

    assert set(TORCH_MODELS) == set(suite.NETWORKS)
    for name, network in suite.NETWORKS.items():
        shape = network.shape
        channels_first = (shape[-1], *shape[:-1]) if len(shape) == 3 else shape
        twin = make(name, torch.zeros(2, *channels_first))
        assert parameters(twin) == summarize(MODELS[name](), shape).parameters, name


def result(seconds, **more):
    return {"seconds": seconds, "import": 1.0, "resident": 2**30, "versions": {"jax": "0"}, **more}


@pytest.fixture
def measured(monkeypatch):
    """A bench that measures nothing, and what it was asked for."""
    asked = []

    def compare(spec, *rest):
        asked.append((spec.network, spec.kind, spec.batch))
        if spec.kind == "matrix":
            return {"jaxnets": result(0.1)}
        return {
            "jaxnets": result(0.1, multiply_adds=10**9),
            "torch": result(0.2),
            "keras-jax": {"failed": "so"},
        }

    monkeypatch.setattr(suite, "compare", compare)
    monkeypatch.setattr(suite, "OTHERS", ())
    monkeypatch.setattr(suite.machine, "gpus", list)  # a CPU's large batches
    return asked


def test_what_is_recorded_is_passed_over_and_becomes_tables(tmp_path, measured, capsys):
    path, ask = tmp_path / "b.jsonl", {"only": ("lenet5",), "kinds": ("step", "start")}
    suite.main(**ask, out=path)
    assert measured == [("lenet5", "step", 32), ("lenet5", "step", 1024), ("lenet5", "start", 32)]
    suite.main(**ask, out=path)
    suite.main(kinds=("matrix", "step"), batches=(32,), out=path)
    assert len(measured) == 3 + 1 + len(suite.NETWORKS) - 1
    assert " 2.00x torch" in capsys.readouterr().out
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["jaxnets"] for line in lines} == {records.fingerprint()}

    report.main(path=path, out=tmp_path / "b.md")
    text = (tmp_path / "b.md").read_text()
    assert "| E2 lenet5 | 1024 | 2.00x | 100 | - | - | 200 | - |" in text
    assert "| E2 lenet5 | 32 | 1,024 | - | - | 1,024 | - |" in text  # MiB
    # 6e9 operations an example, 32 of them in .1 s; two 2048^3 in .1 s
    rate = 2 * 2048**3 / 0.1
    assert f"| E2 lenet5 | 32 | 1,920 ({1.92e12 / rate:.0%}) |" in text
    assert "Inference" not in text  # what is not measured has no section
    suite.main(only=("lenet5",), kinds=("step",), batches=(1, 8), out=path)
    report.main(path=path, out=tmp_path / "b.md")
    picture = (tmp_path / "b.md").read_text().split("![examples a second over batch sizes](")[1].split(")")[0]
    assert (tmp_path / picture).exists()
    with Image.open(tmp_path / "b.png") as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 100


def test_a_report_begins_with_the_machine_that_was_measured_last(tmp_path, measured):
    path = tmp_path / "b.jsonl"
    suite.main(only=("lenet5",), kinds=("step",), batches=(32,), out=path)
    (record,) = records.read(path)
    records.append(record | {"hardware": "a newer machine", "when": "2999-01-01T00:00:00+00:00"}, path)
    records.append(record | {"hardware": "an older machine", "when": "1999-01-01T00:00:00+00:00"}, path)
    report.main(path=path, out=tmp_path / "b.md")
    headings = [line for line in (tmp_path / "b.md").read_text().splitlines() if line.startswith("## ")]
    assert headings == ["## a newer machine", f"## {record['hardware']}", "## an older machine"]


@pytest.mark.parametrize("publish", [False, True])
def test_only_the_authors_flag_writes_to_docs(tmp_path, monkeypatch, measured, publish):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "PUBLISHED", tmp_path / "docs" / "benchmarks.jsonl")
    suite.main(only=("lenet5",), kinds=("step",), batches=(32,), publish=publish)
    report.main(publish=publish)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert found == {f"{'docs' if publish else 'runs'}/benchmarks.{kind}" for kind in ("jsonl", "md", "png")}


def test_where_to_record_is_said_once_and_a_report_needs_records(tmp_path):
    with pytest.raises(UserError, match=r"--publish: leave one of them out"):
        suite.main(out=tmp_path / "b.jsonl", publish=True)
    with pytest.raises(UserError, match=r"b\.jsonl: nothing is recorded there yet; run the suite first"):
        report.main(path=tmp_path / "b.jsonl")


def test_a_file_of_records_need_not_be_there_yet(tmp_path):
    script = tmp_path / "airbench94_muon.py"
    script.touch()
    for command, given in ((suite.main, ()), (report.main, ()), (airbench.main, (script,))):
        check(command, *given, out=tmp_path / "new.jsonl")


def test_the_programs_compared_are_heard_and_a_failing_one_is_named(tmp_path, capsys):
    printed = airbench.run("ours", "-c", "print(1); print(2)", folder=tmp_path)
    assert printed == capsys.readouterr().out == "1\n2\n"
    with pytest.raises(UserError, match="theirs failed with exit code 3; its own message is above"):
        airbench.run("theirs", "-c", "print('so'); raise SystemExit(3)", folder=tmp_path)
    assert capsys.readouterr().out == "so\n"


def test_the_table_that_airbench_prints():
    printed = """
|  run     |  epoch  |  train_acc  |  val_acc  |  tta_val_acc  |  time_seconds  |
|  warmup  |  0      |  0.1000     |  0.1000   |               |  9.0000        |
|          |  eval   |  0.1000     |  0.1000   |  0.1000       |  9.9000        |
|  0       |  0      |  0.5000     |  0.5500   |               |  0.3000        |
|          |  eval   |  0.9800     |  0.9300   |  0.9403       |  2.5900        |
|  1       |  0      |  0.5000     |  0.5500   |               |  0.3000        |
|          |  eval   |  0.9800     |  0.9310   |  0.9399       |  2.6000        |
Mean: 0.9401    Std: 0.0003"""
    assert airbench.final_rows(printed, 2) == [(0.9403, 2.59), (0.9399, 2.6)]


def test_what_is_unknown_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"unknown network 'lenet' \(did you mean lenet5\?\)"):
        suite.main(only=("lenet",), out=tmp_path / "b.jsonl")


@pytest.mark.slow
def test_processes_measure_in_turns(tmp_path):
    spec = Spec("jaxnets", **MLP)
    results = suite.in_turns({"jaxnets": spec, "broken": Spec("jaxnets", "nothing", (1,))}, 2, 0.01)
    assert len(results["jaxnets"]["rounds"]) == 2
    assert results["jaxnets"]["parameters"] == 101_770
    assert results["jaxnets"]["import"] < results["jaxnets"]["first_step"]
    assert "KeyError: 'nothing'" in results["broken"]["failed"]


@pytest.mark.slow
def test_formulations_are_measured_where_a_network_uses_them():
    from experiments.benchmarks import formulations

    found = formulations.main(only=("mlp",), batches=(4,), rounds=1, seconds=0.001)
    assert {record["formulation"] for record in found} >= {"only_if, update", "total, update"}
    assert not {record["formulation"] for record in found} & {"max_pool, pooling", "recur, recurrence"}
    assert all(record["alone"] > 0 for record in found)


def test_the_clock_sets_a_step_beside_its_twin_and_its_bound(monkeypatch, capsys):
    from experiments.benchmarks import clock

    kind = jax.devices()[0].device_kind
    for key in [key for key, chip in CHIPS.items() if chip.name == kind]:
        monkeypatch.delitem(CHIPS, key)
    with pytest.raises(UserError, match="the clock needs an accelerator: NVIDIA"):
        clock.main(only=("mlp",))
    here = dataclasses.replace(CHIPS["h100"], name=kind)
    monkeypatch.setitem(CHIPS, "here", here)
    (found,) = clock.main(only=("mlp",), batch=8, dtypes=("float32",), rounds=1, seconds=0.001)
    assert found["bound"] < min(found["seconds"], found["twin"])
    ratio = found["twin"] / found["seconds"]
    assert f"| mlp | float32 | 8 | {ratio:.2f} |" in capsys.readouterr().out


def test_a_start_is_measured_in_a_process_of_its_own():
    found = starts.in_a_process("perceptron", "cpu", 8)
    assert (found["network"], found["platform"], found["batch"]) == ("perceptron", "cpu", 8)
    assert all(found[phase] > 0 for phase in starts.PHASES)
    assert found["memory"] > 1e8


def test_versions_say_what_was_measured_by_which():
    assert report.in_words({"1.0": {"step", "start"}}) == "1.0"
    assert (
        report.in_words({"1.0": {"step", "start"}, "1.1": {"inference"}})
        == "1.0 (start, step) and 1.1 (inference)"
    )
