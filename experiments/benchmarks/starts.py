"""What it takes to start: tracing, lowering and compiling each network's step, for CPUs, GPUs and TPUs.

    python -m experiments.benchmarks.starts table --only resnet18 lenet5
    python -m experiments.benchmarks.starts table --platforms cpu h100 v5e

Each program is made in a process of its own, without compiled programs of earlier ones. Seconds are processor
time of all threads, which other work on the machine changes little. Memory is the most that the process
has held; one that has only imported jaxnets holds about 300 MB.
"""

from jaxnets.cli import commandline

from experiments.benchmarks.accelerators import BATCHES
from jaxnets import machine, optim
from jaxnets.accelerators import CHIPS, Chip
from jaxnets.accelerators.chips import devices_of, parse_topology
from jaxnets.accelerators.programs import Job
from jaxnets.errors import lookup
from jaxnets.models import INPUT_SHAPES, MODELS

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any, Literal

import jax

Platform = Literal["cpu", "h100", "h200", "a100", "v4", "v5e", "v5p", "v6e"]
PHASES = ("tracing", "lowering", "compiling")
HERE = Chip("the CPU of this machine", "cpu", memory=0, bandwidth=0, flops={})
HEADS = ("network", "for", "batch", *(f"{phase} (s)" for phase in PHASES), "memory (MB)")


def table(
    *,
    only: tuple[str, ...] = (),
    platforms: tuple[Platform, ...] = ("cpu", "h100", "v5e"),
    batch: int = 32,
) -> list[dict[str, Any]]:
    """Print a row for every network and platform.

    Args:
        only: Names of the networks. By default all.
        platforms: The CPU of this machine, or accelerators that need not be there.
        batch: Examples in a step; fewer for large images.
    """
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    found = []
    for name in only or MODELS:
        lookup(MODELS, name, "network")
        for platform in platforms:
            record = in_a_process(name, platform, min(batch, BATCHES.get(name, batch)))
            cells = [name, platform, str(record["batch"]), *(f"{record[phase]:.1f}" for phase in PHASES)]
            print(f"| {' | '.join([*cells, format(record['memory'] / 1e6, ',.0f')])} |", flush=True)
            found.append(record)
    return found


def in_a_process(name: str, platform: str, batch: int) -> dict[str, Any]:
    """What `start` measures there."""
    options = {"--name": name, "--platform": platform, "--batch": str(batch)}
    command = [sys.executable, "-m", "experiments.benchmarks.starts", "start", *sum(options.items(), ())]
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def start(*, name: str, platform: Platform, batch: int) -> dict[str, Any]:
    """Make one program in this process, and print what it took.

    Args:
        name: Name of the network.
        platform: The CPU of this machine, or an accelerator that need not be there.
        batch: Examples in a step.
    """
    step, arguments = program(name, platform, batch)
    times = [time.process_time()]
    traced = step.trace(*arguments)
    times.append(time.process_time())
    lowered = traced.lower()
    times.append(time.process_time())
    lowered.compile()
    times.append(time.process_time())
    record: dict[str, Any] = {"network": name, "platform": platform, "batch": batch}
    record |= {phase: end - begin for phase, begin, end in zip(PHASES, times, times[1:], strict=False)}
    record["memory"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(record))
    return record


def program(name: str, platform: Platform, batch: int) -> tuple[Any, tuple[Any, ...]]:
    """The step that `fit` compiles, in float32, and the shapes of its arguments."""
    job = Job(
        MODELS[name](),
        INPUT_SHAPES[name],
        optim.OPTIMIZERS["adam"](1e-3),
        ids="embedding" in name,
        examples=None,
    )
    if platform == "cpu":
        machine.set_up()
        return job.program(HERE, jax.devices()[:1], batch)
    machine.set_up_compilers()
    chip = CHIPS[platform]
    return job.program(chip, devices_of(chip, parse_topology(chip, "1")), batch)


if __name__ == "__main__":
    commandline.run({"table": table, "start": start})
