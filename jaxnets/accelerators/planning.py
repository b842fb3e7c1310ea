"""What a training will take on accelerators that are not there: compiled for them, and read."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets import optim
from jaxnets.accelerators.chips import CHIPS, CUDA_SHARE, GIB, Chip, devices_of, parse_topology
from jaxnets.accelerators.programs import Job
from jaxnets.accelerators.reading import Reading, read_program
from jaxnets.errors import UserError, lookup, reason
from jaxnets.models import INPUT_SHAPES, MODELS

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
PROGRAMS, SHARDINGS = ("training", "inference"), ("data", "fsdp")
PRECISION = 1 / 16  # to which the largest batch is found


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one step takes on every chip, read from the program that was compiled for it.

    Attributes:
        model: Name of the network.
        program: "training", one step as `fit` runs it, or "inference", a forward pass.
        device: Name of the chip in `CHIPS`.
        topology: Numbers of chips along each axis.
        batch: Examples in a step, over all chips.
        dtype: Type of the arithmetic: "float32" or "bfloat16".
        sharding: How several chips share the work: "data" or "fsdp".
        remat: Whether activations are computed again in the backward pass.
        reading: What the program says.
    """

    model: str
    program: str
    device: str
    topology: tuple[int, ...]
    batch: int
    dtype: str
    sharding: str
    remat: bool
    reading: Reading

    @property
    def chip(self) -> Chip:
        """The accelerator."""
        return CHIPS[self.device]

    @property
    def chips(self) -> int:
        """How many there are."""
        return math.prod(self.topology)

    @property
    def usable_bytes(self) -> int:
        """Memory of a chip that JAX takes by default."""
        return int(self.chip.memory * (CUDA_SHARE if self.chip.platform == "cuda" else 1))

    @property
    def fits(self) -> bool:
        """Whether the program fits into that memory."""
        return self.reading.memory_bytes <= self.usable_bytes

    @property
    def compute_seconds(self) -> float:
        """Time of the matrix products at the chip's full rate."""
        return self.reading.flops / self.chip.flops[self.dtype]

    @property
    def transfer_seconds(self) -> float:
        """Time of all reads and writes at the memory's full rate."""
        return self.reading.bytes / self.chip.bandwidth

    @property
    def bound_seconds(self) -> float:
        """The roofline's time: no step is faster than the larger of both. It predicts nothing else."""
        return max(self.compute_seconds, self.transfer_seconds)

    def to_json(self) -> dict[str, Any]:
        """Returns everything as what `json.dumps` takes, seconds and bytes as numbers."""
        names = ("chips", "usable_bytes", "fits", "compute_seconds", "transfer_seconds", "bound_seconds")
        found = dataclasses.asdict(self) | {name: getattr(self, name) for name in names}
        reading = found.pop("reading") | {"memory_bytes": self.reading.memory_bytes}
        reading["collectives"] = {
            name: {"count": count, "bytes": size} for name, (count, size) in self.reading.collectives.items()
        }
        return found | reading | {"chip": self.chip.name, "memory_of_chip_bytes": self.chip.memory}

    def to_text(self) -> str:
        """Returns a page for people."""
        grid = "x".join(map(str, self.topology))
        where = self.chip.name if self.chips == 1 else f"each of {self.chips} {self.chip.name} ({grid})"
        options = [self.sharding] * (self.chips > 1) + ["remat"] * self.remat
        title = ", ".join([self.model, self.program, f"batch {self.batch:,}", self.dtype, *options])
        taken = (
            "" if self.usable_bytes == self.chip.memory else f", of which JAX takes {_gib(self.usable_bytes)}"
        )
        moves = self.transfer_seconds > self.compute_seconds
        read = self.reading
        collectives = [
            f"{count} {name} ({size / 1e6:,.1f} MB)" for name, (count, size) in read.collectives.items()
        ]
        rate = self.batch / self.bound_seconds
        rows = {
            "memory": f"{_gib(read.memory_bytes)} of {_gib(self.chip.memory)}{taken}"
            + ("" if self.fits else ": DOES NOT FIT"),
            "": f"{_gib(read.argument_bytes)} state and data, {_gib(read.temporary_bytes)} the rest",
            "FLOPs": f"{read.flops / 1e9:,.1f} G: {1e3 * self.compute_seconds:.3f} ms at "
            f"{self.chip.flops[self.dtype] / 1e12:.0f} T a second",
            "bytes": f"{read.bytes / 1e9:,.3f} G: {1e3 * self.transfer_seconds:.3f} ms at "
            f"{self.chip.bandwidth / 1e12:.2f} T a second",
            "kernels": f"{read.kernels:,}",
            "collectives": ", ".join(collectives) or "none",
            "bound": f"{1e3 * self.bound_seconds:.3f} ms a step, {rate:,.0f} examples a second: "
            + ("memory binds" if moves else "computing binds"),
            " ": "the roofline of the data sheet: no step is faster, and a real one is slower",
            "compiled in": f"{read.compile_seconds:.1f} s, lowered in {read.lowering_seconds:.1f} s",
        }
        lines = [f"{name.strip():13}{text}" for name, text in rows.items()]
        return "\n".join([title, f"a step on {where}", *lines])


def plan(
    model: str | linen.Module,
    device: str = "h100",
    *,
    topology: str = "1",
    batch: int = 256,
    dtype: str = "float32",
    program: Literal["training", "inference"] = "training",
    optimizer: str = "adam",
    augment: Sequence[str] = (),
    sharding: Literal["data", "fsdp"] = "data",
    remat: bool = False,
    shape: tuple[int, ...] | None = None,
) -> Plan:
    """Compiles a step for an accelerator that need not be there, and reads what it will take.

    Nothing runs. The compilers come with the extras "plan-cuda" and "plan-tpu".

    Args:
        model: Name in `MODELS`, or a network of your own.
        device: Name in `CHIPS`: h100, h200, a100, v4, v5e, v5p, v6e.
        topology: Number of chips ("8") or grid of TPU chips ("4x4"), to which a batch is spread.
        batch: Examples in a step, over all chips.
        dtype: Type of the arithmetic, "float32" or "bfloat16"; parameters are float32 in both. For a network
            of your own, the type that it computes in.
        program: "training", a step as `fit` runs it, its data resident where that fits, or "inference".
        optimizer: Name in `optim.OPTIMIZERS`.
        augment: Changes of the training images, as NAME or NAME=A:B.
        sharding: How several chips share the work: "data" splits batches, "fsdp" the training state, too.
        remat: Compute activations again in the backward pass, instead of keeping them.
        shape: Shape of an example, for a network of your own. By default the documented one.

    Raises:
        UserError: If a name is unknown, the batch cannot be split evenly, the compiler is missing or fails.

    Examples:
        >>> from jaxnets.accelerators import plan
        >>> found = plan("lenet5", "h100", dtype="bfloat16")  # doctest: +SKIP
        >>> found.kernels, found.bytes, found.fits  # doctest: +SKIP
        (82, 79338119, True)
    """
    chip = lookup(CHIPS, device, "device")
    for what, given, known in (("program", program, PROGRAMS), ("sharding", sharding, SHARDINGS)):
        if given not in known:
            raise UserError(f"the {what} {given!r} must be {known[0]!r} or {known[1]!r}")
    sizes = parse_topology(chip, topology)
    kind = lookup(DTYPES, dtype, "dtype")
    if isinstance(model, str):
        name, shape = model, shape or lookup(INPUT_SHAPES, model, "model")
        model = MODELS[name](**({} if dtype == "float32" else {"dtype": kind}))
    elif shape is None:
        raise UserError("a network of your own needs the shape of an example: give shape, as (28, 28, 1)")
    else:
        name = type(model).__name__
    if batch < 1 or batch % math.prod(sizes):
        raise UserError(f"batch {batch}: it must be a multiple of the {math.prod(sizes)} chips")
    learner = lookup(optim.OPTIMIZERS, optimizer, "optimizer")(1e-3) if program == "training" else None
    job = Job(model, shape, learner, sharding, tuple(augment), remat, ids="embedding" in name)
    devices = devices_of(chip, sizes)
    step, arguments = job.program(chip, devices, batch)
    try:
        reading = read_program(step, *arguments)
    except jax.errors.JaxRuntimeError as error:
        raise UserError(
            f"{name} with a batch of {batch} cannot be compiled for {chip.name}: {reason(error)}"
        ) from error
    return Plan(name, program, device, sizes, batch, dtype, sharding, remat, reading)


def largest_batch(make: Callable[[int], Plan], start: int, step: int = 1) -> Plan:
    """Returns the plan of the largest batch that fits, found by doubling and bisection to within a 16th.

    Args:
        make: Takes a batch size and returns its plan, or raises UserError where it cannot be compiled.
        start: Batch size to try first.
        step: Number that batch sizes must be multiples of.

    Raises:
        UserError: If not even a batch of `step` fits.

    Examples:
        >>> from functools import partial
        >>> from jaxnets.accelerators import largest_batch, plan
        >>> largest_batch(lambda batch: plan("resnet50", "v5e", batch=batch), 64).batch  # doctest: +SKIP
    """

    def attempt(count: int) -> Plan | None:
        try:
            found = make(step * count)
        except UserError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return None
        return found if found.fits else None

    low, count, best, high = 0, max(1, start // step), None, None
    while high is None or high - low > max(1, PRECISION * low):
        found = attempt(count)
        if found is None:
            high = count
        else:
            low, best = count, found
        count = 2 * low if high is None else (low + high) // 2
        if high is not None and count == low:
            break
    if best is None:
        raise UserError(f"not even a batch of {step} fits into the device's memory")
    return best


def _gib(size: float) -> str:
    return f"{size / GIB:,.2f} GiB"
