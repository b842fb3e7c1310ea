"""Training steps compiled for accelerators that are not there, beside a plain Flax and Optax twin's.

    python -m experiments.benchmarks.accelerators ratios --only resnet18 lenet5 --device h100
    python -m experiments.benchmarks.accelerators plans --only resnet50 --device v5e --topology 2x2 --batch 64

Ratios of jaxnets to the twin: kernels, bytes of main memory, and peak memory; below 1, jaxnets has less. Both
take the same batches from the host, bytes for images, and update by Adam; jaxnets also leaves out padding,
adds up its metrics over the epoch and changes nothing where a loss or gradient is not finite. `clock` times
both where there is an accelerator.
"""

from jaxnets.cli import commandline

from experiments.benchmarks import flax_twins
from jaxnets import optim
from jaxnets.accelerators import CHIPS, Chip, plan, read_program
from jaxnets.accelerators.chips import devices_of, parse_topology
from jaxnets.accelerators.planning import DTYPES
from jaxnets.accelerators.programs import Job
from jaxnets.errors import lookup
from jaxnets.machine import set_up_compilers
from jaxnets.models import INPUT_SHAPES, MODELS

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

LARGE = ("resnet34", "resnet50", "xception", "xception_classifier", "xception_localizer", "vgg16", "vgg19")
BATCHES = dict.fromkeys(LARGE, 64)
PROGRAMS: tuple[Literal["training", "inference"], ...] = ("training", "inference")
Device = Literal["h100", "h200", "a100", "v4", "v5e", "v5p", "v6e"]


def ours(name: str, chip: Chip, devices: list[Any], batch: int, dtype: str) -> tuple[Any, tuple[Any, ...]]:
    """The step of jaxnets, jitted, and the shapes of its arguments."""
    model = MODELS[name](**({} if dtype == "float32" else {"dtype": DTYPES[dtype]}))
    job = Job(model, INPUT_SHAPES[name], optim.OPTIMIZERS["adam"](1e-3), examples=None)
    return job.program(chip, devices, batch)


def twins(name: str, chip: Chip, devices: list[Any], batch: int, dtype: str) -> tuple[Any, tuple[Any, ...]]:
    """The step of the plain twin, jitted, and the shapes of its arguments."""
    mesh, shape = Mesh(np.array(devices), ("data",)), INPUT_SHAPES[name]
    model, optimizer = flax_twins.FLAX_MODELS[name](dtype=DTYPES[dtype]), optax.adam(1e-3)
    regression = name.startswith("stock")
    inputs = jax.ShapeDtypeStruct((batch, *shape), jnp.uint8 if len(shape) == 3 else jnp.float32)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    numbers = jax.ShapeDtypeStruct((batch, 1), jnp.float32)
    rows = {"x": inputs, "y": numbers if regression else labels}

    def place(tree: Any, spec: PartitionSpec) -> Any:
        there = NamedSharding(mesh, spec)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=there), tree)

    state = place(flax_twins.abstract_state(model, optimizer, shape), PartitionSpec())
    step = jax.jit(flax_twins.make_step(model, optimizer, regression), donate_argnums=0)
    return step, (state, place(rows, PartitionSpec("data")))


def ratios(
    *,
    only: tuple[str, ...] = (),
    device: Device = "h100",
    topology: str = "1",
    batch: int = 256,
    dtypes: tuple[str, ...] = ("bfloat16", "float32"),
) -> list[dict[str, Any]]:
    """Print a row for every network and type: ratios to the twin, and in brackets the figures of jaxnets.

    Args:
        only: Names of the networks. By default all that have a twin.
        device: The accelerator.
        topology: Number of chips, or grid of them.
        batch: Examples in a step; fewer for large images.
        dtypes: Types of the arithmetic.
    """
    set_up_compilers()
    chip, found = CHIPS[device], []
    devices = devices_of(chip, parse_topology(chip, topology))
    print("| network | dtype | batch | kernels | bytes (MB) | memory (MB) |\n|---|---|---|---|---|---|")
    for name in only or flax_twins.FLAX_MODELS:
        lookup(flax_twins.FLAX_MODELS, name, "network")
        size = min(batch, BATCHES.get(name, batch))
        for dtype in dtypes:
            steps = [make(name, chip, devices, size, dtype) for make in (ours, twins)]
            mine, other = (read_program(step, *arguments) for step, arguments in steps)
            record: dict[str, Any] = {"network": name, "batch": size, "dtype": dtype}
            cells = [name, dtype, str(size)]
            for what, unit in (("kernels", 1), ("bytes", 1e6), ("memory_bytes", 1e6)):
                record[what] = getattr(mine, what) / getattr(other, what)
                cells.append(f"{record[what]:.2f} ({getattr(mine, what) / unit:,.0f})")
            found.append(record)
            print(f"| {' | '.join(cells)} |", flush=True)
    return found


def plans(
    *,
    only: tuple[str, ...] = (),
    device: Device = "h100",
    topology: str = "1",
    batch: int = 256,
    dtypes: tuple[str, ...] = ("bfloat16", "float32"),
    sharding: Literal["data", "fsdp"] = "data",
) -> list[dict[str, Any]]:
    """Print a row for every network, type and program: what it takes on a chip, and what compiling took here.

    Args:
        only: Names of the networks. By default all.
        device: The accelerator.
        topology: Number of chips, or grid of them.
        batch: Examples in a step; fewer for large images.
        dtypes: Types of the arithmetic.
        sharding: How several chips share the work.
    """
    set_up_compilers()
    found = []
    heads = ["network", "program", "dtype", "batch", "memory (MB)", "GFLOP", "GB", "kernels", "bound (ms)"]
    print(f"| {' | '.join([*heads, 'compiled (s)'])} |\n|{'---|' * (len(heads) + 1)}")
    for name in only or MODELS:
        size = min(batch, BATCHES.get(name, batch))
        for program in PROGRAMS:
            for dtype in dtypes:
                one = plan(
                    name,
                    device,
                    topology=topology,
                    batch=size,
                    dtype=dtype,
                    program=program,
                    sharding=sharding,
                )
                read, seconds = one.reading, one.reading.lowering_seconds + one.reading.compile_seconds
                cells = [name, program, dtype, f"{size:,}", f"{read.memory_bytes / 1e6:,.0f}"]
                cells += [f"{read.flops / 1e9:,.1f}", f"{read.bytes / 1e9:,.3f}", f"{read.kernels:,}"]
                cells += [f"{1e3 * one.bound_seconds:,.3f}", f"{seconds:.0f}"]
                found.append(one.to_json())
                print(f"| {' | '.join(cells)} |", flush=True)
    return found


if __name__ == "__main__":
    commandline.run({"ratios": ratios, "plans": plans})
