"""Operations that a program may have computed in a formulation other than the plain one.

Layers use plain JAX operations, which work on every backend and under every transformation. A program that
knows its target, such as a training step, enters `formulated` inside its own function; each operation then
takes the first formulation in a table that applies to its arguments. `jaxnets.cpu` has the table for CPUs.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import jax


class Formulation(NamedTuple):
    """Another way to compute an operation.

    Attributes:
        operation: Name of the operation.
        applies: Function of the operation's arguments that returns whether this way suits them.
        function: Function of the same arguments with the same result up to rounding.
        gain: Its advantage, in words and numbers.
    """

    operation: str
    applies: Callable[..., bool]
    function: Callable[..., Any]
    gain: str


Table = tuple[Formulation, ...]

# Part of jit's cache key: a jitted function that was traced outside the context is traced anew inside it.
_table = jax.make_user_context(None)


@contextmanager
def formulated(table: Table) -> Iterator[None]:
    """Context manager within which operations use these formulations, except in `plain_operations`."""
    with _table(() if _table.value == () else table):
        yield


def is_formulated() -> bool:
    """Returns whether the program that is being traced has been told its formulations."""
    return _table.value is not None


def plain_operations() -> AbstractContextManager[None]:
    """Context manager within which all operations are the plain ones, even in programs that opt in."""
    return formulated(())


def operation(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turns a plain function of positional arguments into an operation that formulations can replace."""

    def decorate(plain: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(plain)
        def choose(*arguments: Any) -> Any:
            for formulation in _table.value or ():
                if formulation.operation == name and formulation.applies(*arguments):
                    return formulation.function(*arguments)
            return plain(*arguments)

        return choose

    return decorate
