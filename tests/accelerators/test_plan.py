"""Plans: what needs no compiler; and, slow, every network compiled, where compilers are installed."""

import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from jaxnets.accelerators import CHIPS, Plan, Reading, count_chips, largest_batch
from jaxnets.accelerators import plan as make_plan
from jaxnets.accelerators.chips import parse_topology
from jaxnets.errors import UserError
from jaxnets.models import MODELS

COMPILERS = {"h100": "jax_cuda13_plugin", "v5e": "libtpu"}


@pytest.mark.parametrize(
    "device, text, sizes",
    [
        ("h100", "8", (8,)),
        ("h100", "2x8", (16,)),
        ("v5e", "1", (1, 1)),
        ("v5e", "8", (2, 4)),
        ("v5e", "256", (16, 16)),
        ("v6e", "4x8", (4, 8)),
        ("v4", "8", (2, 2, 2)),
        ("v5p", "4", (1, 2, 2)),
    ],
)
def test_topologies(device, text, sizes):
    assert parse_topology(CHIPS[device], text) == sizes


@pytest.mark.parametrize(
    "device, text", [("v5e", "2x2x2"), ("v4", "2x2"), ("h100", "0"), ("h100", "2y"), ("v5e", "")]
)
def test_a_topology_that_cannot_be_is_one_sentence(device, text):
    with pytest.raises(UserError, match="the topology"):
        count_chips(device, text)


def of(batch: int, usable: int = 1000) -> Plan:
    reading = Reading(batch * 7, 0, 2 * 10**12, 10**10, 12, {"all-reduce": (3, 4096)}, 0.5, 1.5)
    return Plan("net", "training", "v5e", (2, 2), batch, "bfloat16", "fsdp", False, reading)


def test_the_bound_is_the_larger_of_both_times():
    found = of(64).to_json()
    assert found["compute_seconds"] == pytest.approx(2e12 / 197e12)
    assert found["transfer_seconds"] == pytest.approx(1e10 / 8.19e11)
    assert found["bound_seconds"] == found["transfer_seconds"]
    assert found["collectives"] == {"all-reduce": {"count": 3, "bytes": 4096}}
    assert json.loads(json.dumps(found))["memory_bytes"] == 64 * 7
    text = of(64).to_text()
    assert "4 TPU v5e (2x2)" in text
    assert "memory binds" in text
    assert "3 all-reduce" in text


@pytest.mark.parametrize("most, step, start", [(1000, 4, 64), (1000, 4, 8192), (8, 8, 64), (300, 1, 1)])
def test_the_largest_batch_is_found_to_a_sixteenth(most, step, start):
    asked = []

    def make(batch):
        asked.append(batch)
        if batch > 4 * most:
            raise UserError("RESOURCE_EXHAUSTED")  # as a compiler for TPUs does
        return SimpleNamespace(fits=batch <= most, batch=batch)

    found = largest_batch(make, start, step)
    assert found.batch <= most < found.batch + max(step, found.batch / 16) + step
    assert all(batch % step == 0 for batch in asked)
    assert len(asked) < 20


def test_no_batch_fits():
    with pytest.raises(UserError, match="not even a batch of 4"):
        largest_batch(lambda batch: SimpleNamespace(fits=False, batch=batch), 64, 4)


@pytest.mark.parametrize("device", COMPILERS)
def test_a_missing_compiler_is_named_with_the_command_that_installs_it(run, device):
    if importlib.util.find_spec(COMPILERS[device]):
        pytest.skip("it is installed")
    code, _, error = run("plan", "lenet5", "--device", device)
    assert code == 2
    assert "pip install" in error


@pytest.mark.parametrize("arguments", [["nothing"], ["lenet5", "--batch", "3", "--topology", "2"]])
def test_what_is_wrong_is_one_line(run, arguments):
    code, _, error = run("plan", *arguments)
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_what_is_neither_is_refused():
    with pytest.raises(UserError, match="'training' or 'inference'"):
        make_plan("lenet5", program="predict")
    with pytest.raises(UserError, match="'data' or 'fsdp'"):
        make_plan("lenet5", sharding="fdsp")


def plan(*arguments: str) -> dict:
    """By a process of its own: JAX must not have looked for devices before."""
    done = subprocess.run(
        [sys.executable, "-m", "jaxnets", "plan", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def skip_without(device: str) -> None:
    if importlib.util.find_spec(COMPILERS[device]) is None:
        pytest.skip(f"no compiler for {device}")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("program", ["training", "inference"])
@pytest.mark.parametrize("device, topology", [("h100", "1"), ("v5e", "2x2")])
@pytest.mark.parametrize("name", MODELS)
def test_every_network_compiles(name, device, topology, program, dtype):
    skip_without(device)
    arguments = ["--device", device, "--topology", topology, "--batch", "16", "--program", program]
    found = plan(name, *arguments, "--dtype", dtype)
    assert found["fits"]
    assert found["flops"] > 0
    assert found["kernels"] > 0
    assert found["bytes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["data", "fsdp"])
@pytest.mark.parametrize("device, topology, batch", [("h100", "8", "512"), ("v5e", "16x16", "4096")])
@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_large_networks_compile_for_many_chips(name, device, topology, batch, sharding):
    skip_without(device)
    arguments = ["--device", device, "--topology", topology, "--batch", batch, "--sharding", sharding]
    found = plan(name, *arguments, "--dtype", "bfloat16")
    assert found["collectives"]
