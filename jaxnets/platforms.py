"""Which formulations a program takes: those for CPUs or those for accelerators, by where it is compiled."""

import functools
from collections.abc import Callable
from typing import Any

from jax import lax

from jaxnets import cpu, fused
from jaxnets.nn.operation import formulated


def by_platform(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with the formulations of `jaxnets.cpu` on CPUs, of `jaxnets.fused` elsewhere.

    That is decided when it is lowered, not when it is traced: lowered for CUDA or TPU on a machine that has
    neither, it is the program that would run there.

    Args:
        function: A pure function of pytrees of arrays.
    """

    @functools.wraps(function)
    def chosen(*arguments: Any) -> Any:
        def taking(table: Any) -> Callable[..., Any]:
            def run(*arguments: Any) -> Any:
                with formulated(table):
                    return function(*arguments)

            return run

        tables = {"cpu": cpu.TABLE, "tpu": fused.TPU, "default": fused.GPU}
        return lax.platform_dependent(*arguments, **{name: taking(table) for name, table in tables.items()})

    return chosen
