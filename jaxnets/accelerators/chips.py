"""The accelerators that programs can be compiled for, and how XLA is told of one that is not there."""

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental import topologies

from jaxnets import hints
from jaxnets.errors import UserError, lookup

GIB = 2**30
CUDA_SHARE = 0.75  # of a GPU's memory, which JAX takes unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise


@dataclass(frozen=True)
class Chip:
    """An accelerator, with the figures of its maker's data sheet.

    Attributes:
        name: Its name in full.
        platform: "cuda" or "tpu".
        memory: Bytes of main memory that a program may use.
        bandwidth: Bytes that the memory reads and writes in a second.
        flops: Dense matrix products' operations in a second, by the type of the arithmetic. By default XLA
            multiplies float32 on GPUs as TensorFloat-32 and on TPUs as bfloat16; these are those figures.
        details: For CUDA, the fields of XLA's GpuDeviceInfoProto that differ from chip to chip.
        axes: For TPUs, how many axes a topology has.
    """

    name: str
    platform: str
    memory: int
    bandwidth: float
    flops: Mapping[str, float]
    details: Mapping[str, Any] | None = None
    axes: int = 2


_HOPPER = {
    "compute_capability": (9, 0),
    "core_count": 132,
    "l2_cache_size": 52_428_800,
    "clock_rate_ghz": 1.98,
}
_HOPPER |= {"shared_memory_per_core": 233_472, "shared_memory_per_block_optin": 232_448, "fpus_per_core": 128}
_AMPERE = {
    "compute_capability": (8, 0),
    "core_count": 108,
    "l2_cache_size": 41_943_040,
    "clock_rate_ghz": 1.41,
}
_AMPERE |= {"shared_memory_per_core": 167_936, "shared_memory_per_block_optin": 166_912, "fpus_per_core": 64}
_H100_FLOPS = {"bfloat16": 989e12, "float32": 495e12}


CHIPS: dict[str, Chip] = {
    "h100": Chip("NVIDIA H100 80GB HBM3", "cuda", 84_942_979_072, 3.35e12, _H100_FLOPS, _HOPPER),
    "h200": Chip("NVIDIA H200", "cuda", 150_122_528_768, 4.8e12, _H100_FLOPS, _HOPPER),
    "a100": Chip(
        "NVIDIA A100-SXM4-80GB",
        "cuda",
        85_094_825_984,
        2.04e12,
        {"bfloat16": 312e12, "float32": 156e12},
        _AMPERE,
    ),
    "v4": Chip("TPU v4", "tpu", 32 * GIB, 1.228e12, {"bfloat16": 275e12, "float32": 275e12}, axes=3),
    "v5e": Chip("TPU v5e", "tpu", 16 * GIB, 8.19e11, {"bfloat16": 197e12, "float32": 197e12}),
    "v5p": Chip("TPU v5p", "tpu", 95 * GIB, 2.765e12, {"bfloat16": 459e12, "float32": 459e12}, axes=3),
    "v6e": Chip("TPU v6e", "tpu", 32 * GIB, 1.64e12, {"bfloat16": 918e12, "float32": 918e12}),
}

# What compiles for a platform without the chip, and the extra that installs it.
_COMPILERS = {
    "cuda": (("jax_cuda13_plugin", "jax_cuda12_plugin"), "plan-cuda"),
    "tpu": (("libtpu",), "plan-tpu"),
}

_DESCRIPTION = """\
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {shared_memory_per_core}
  threads_per_core_limit: 2048
  core_count: {core_count}
  fpus_per_core: {fpus_per_core}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth:.0f}
  l2_cache_size: {l2_cache_size}
  clock_rate_ghz: {clock_rate_ghz}
  device_memory_size: {memory}
  shared_memory_per_block_optin: {shared_memory_per_block_optin}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 12 patch: 0 }}
runtime_version {{ major: 13 minor: 0 patch: 0 }}
device_description_str: "{name}"
"""


def check_compiler(chip: Chip) -> None:
    """Raises UserError unless what compiles for the chip is installed."""
    modules, extra = _COMPILERS[chip.platform]
    if not any(importlib.util.find_spec(name) for name in modules):
        raise UserError(f"compiling for {chip.name} takes XLA's compiler for it: {hints.install(extra)}")


def count_chips(device: str, topology: str) -> int:
    """Returns the number of chips that a topology has.

    Args:
        device: Name in `CHIPS`.
        topology: A number of chips, as "8", or a grid of them, as "4x4".

    Raises:
        UserError: If there is no such device or topology.
    """
    return math.prod(parse_topology(lookup(CHIPS, device, "device"), topology))


def parse_topology(chip: Chip, topology: str) -> tuple[int, ...]:
    """Returns the numbers of chips along each axis: of "8" on a v5e (2, 4), on a v4 (2, 2, 2), on CUDA (8,).

    Raises:
        UserError: If the text is neither a number nor numbers joined by "x", or has other axes than the chip.
    """
    parts = topology.lower().split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UserError(
            f"the topology {topology!r} must be a number of chips, as 8, or a grid of them, as 4x4"
        )
    sizes = tuple(map(int, parts))
    if chip.platform == "cuda":
        return (math.prod(sizes),)
    if len(sizes) == 1:
        return _grid(sizes[0], chip.axes)
    if len(sizes) != chip.axes:
        example = "x".join(["4"] * chip.axes)
        raise UserError(f"the topology {topology!r}: {chip.name} has {chip.axes} axes, as in {example}")
    return sizes


def _grid(count: int, axes: int) -> tuple[int, ...]:
    """The most even grid of so many chips, the shorter axes first."""
    if axes == 1:
        return (count,)
    first = max(size for size in range(1, count + 1) if count % size == 0 and size**axes <= count)
    return (first, *_grid(count // first, axes - 1))


def devices_of(chip: Chip, sizes: tuple[int, ...]) -> list[Any]:
    """Returns stand-ins for the chips of a topology, which `jax.jit` lowers and compiles for.

    Raises:
        UserError: If the compiler is missing, or does not know such a topology.
    """
    check_compiler(chip)
    jax.devices()  # JAX finds the compilers when it starts its devices
    count = math.prod(sizes)
    try:
        if chip.platform == "cuda":
            major, minor = (chip.details or {})["compute_capability"]
            facts = {"name": chip.name, "memory": chip.memory, "bandwidth": chip.bandwidth}
            card = _DESCRIPTION.format(**facts, **(chip.details or {}), major=major, minor=minor)
            layout = f"1x{-(-count // 8)}x{min(count, 8)}"
            found = topologies.get_topology_desc(layout, "cuda", target_config=card, topology=layout)
        else:
            kind, layout = chip.name.split()[-1], "x".join(map(str, sizes))
            bounds = {} if count > 2 else {"chips_per_host_bounds": (*sizes, *[1] * (3 - len(sizes)))}
            found = topologies.get_topology_desc(f"{kind}:{layout}", "tpu", **bounds)
    except jax.errors.JaxRuntimeError as error:
        raise UserError(f"the compiler knows no {chip.name} in a topology of {layout}: {error}") from error
    except NotImplementedError as error:  # JAX has started its devices, and found no GPU or TPU
        raise UserError(
            f"JAX has started in this process without the compiler for {chip.name}: call "
            "jaxnets.machine.set_up_compilers() before the first computation, or use the command plan"
        ) from error
    seen: dict[Any, Any] = {}
    devices: list[Any] = found.devices
    for device in devices:  # one for each chip: a v4 has two cores
        seen.setdefault(device.id if chip.platform == "cuda" else tuple(device.coords), device)
    return list(seen.values())[:count]
