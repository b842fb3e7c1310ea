"""Which formulations a program takes: those for CPUs or those for accelerators, by where it is compiled."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from jax import lax

from jaxnets import cpu, fused
from jaxnets.nn.operation import Table, formulated, is_formulated

_TABLES: dict[str, Table] = {"cpu": cpu.TABLE, "tpu": fused.TPU, "default": fused.GPU}


def by_platform(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with the formulations of `jaxnets.cpu` on CPUs, of `jaxnets.fused` elsewhere.

    That is decided when it is lowered, not when it is traced: lowered for CUDA or TPU on a machine that has
    neither, it is the program that would run there. It is traced once for each; within `on_platform`, once.

    Args:
        function: A pure function of pytrees of arrays.
    """

    @functools.wraps(function)
    def chosen(*arguments: Any) -> Any:
        def taking(table: Table) -> Callable[..., Any]:
            def run(*arguments: Any) -> Any:
                with formulated(table):
                    return function(*arguments)

            return run

        if is_formulated():
            return function(*arguments)
        return lax.platform_dependent(*arguments, **{name: taking(table) for name, table in _TABLES.items()})

    return chosen


def on_platform(platform: str) -> AbstractContextManager[None]:
    """Context manager for functions that are traced for one platform alone: "cpu", "gpu" or "tpu"."""
    return formulated(_TABLES.get(platform, _TABLES["default"]))
