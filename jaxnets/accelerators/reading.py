"""What any jitted function takes on the devices that its arguments lie on, whether they are there or not."""

import dataclasses
import time
from typing import Any

import jax

from jaxnets.accelerators.hlo import Program
from jaxnets.errors import UserError
from jaxnets.summary.jaxpr import multiply_adds


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one run of a compiled program takes on every device.

    Attributes:
        argument_bytes: Memory of the arguments.
        temporary_bytes: Memory of what is computed, and of the program itself.
        flops: Operations of matrix products and convolutions; elementwise work counts nothing.
        bytes: Bytes read from and written to main memory; caches are not modelled.
        kernels: Kernels started.
        collectives: For each kind of collective operation, how often it runs and the bytes it gives.
        lowering_seconds: What tracing and lowering took here.
        compile_seconds: What compiling took here.
    """

    argument_bytes: int
    temporary_bytes: int
    flops: int
    bytes: int
    kernels: int
    collectives: dict[str, tuple[int, int]]
    lowering_seconds: float
    compile_seconds: float

    @property
    def memory_bytes(self) -> int:
        """Memory that the program takes in all."""
        return self.argument_bytes + self.temporary_bytes


def read_program(function: Any, *arguments: Any) -> Reading:
    """Compiles a jitted function for the devices of its arguments, and reads the program; nothing runs.

    `compile_program` returns the program as well.

    Args:
        function: What `jax.jit` returns.
        arguments: Shapes (`jax.ShapeDtypeStruct` with a sharding), arrays, or trees of them.

    Raises:
        UserError: If an argument does not say where it lies.

    Examples:
        >>> import jax.numpy as jnp
        >>> reading = read_program(jax.jit(jnp.dot), jnp.ones((8, 16)), jnp.ones((16, 4)))
        >>> reading.flops  # a product and a sum each
        1024
    """
    return compile_program(function, *arguments)[1]


def compile_program(function: Any, *arguments: Any) -> tuple[jax.stages.Compiled, Reading]:
    """Returns the program that `read_program` reads, too, which can be called where its devices are there."""
    places: list[Any] = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(arguments)]
    if None in places:
        raise UserError("every argument needs a sharding, which says what devices the program is for")
    started = time.perf_counter()
    traced = function.trace(*arguments)
    lowered = traced.lower()
    middle = time.perf_counter()
    compiled = lowered.compile()
    ended = time.perf_counter()
    memory, cost = compiled.memory_analysis(), Program(compiled.as_text()).cost()
    given = memory.output_size_in_bytes - memory.alias_size_in_bytes
    devices = {device for place in places for device in place.device_set}
    return compiled, Reading(
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=given + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
        flops=2 * sum(count for _, count in multiply_adds(traced.jaxpr)) // len(devices),
        bytes=cost.bytes,
        kernels=cost.kernels,
        collectives={kind: (cost.counts[kind], size) for kind, size in cost.collectives.items()},
        lowering_seconds=middle - started,
        compile_seconds=ended - middle,
    )
