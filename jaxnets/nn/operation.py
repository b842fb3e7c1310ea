"""Operations that a program may have computed in another formulation than the plain one.

Layers compute by plain JAX operations: on every backend, under every transformation. A program that knows
what it is compiled for, such as a training step, enters `formulated` inside its own function; then an
operation takes the first formulation of a table that applies to its arguments. `jaxnets.cpu` has the table
for CPUs.
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
        applies: Takes the operation's arguments and returns whether this way suits them.
        function: Takes the same arguments and returns the same up to rounding.
        gain: What it buys, in words and numbers.
    """

    operation: str
    applies: Callable[..., bool]
    function: Callable[..., Any]
    gain: str


Table = tuple[Formulation, ...]

# A part of jit's cache key: a jitted function that was traced outside the context is traced anew inside it.
_table = jax.make_user_context(None)


@contextmanager
def formulated(table: Table) -> Iterator[None]:
    """Inside this context operations are traced in these formulations; never inside `plain_operations`."""
    with _table(() if _table.value == () else table):
        yield


def plain_operations() -> AbstractContextManager[None]:
    """Inside this context all operations are traced as the plain ones, in programs that opt in, too."""
    return formulated(())


def operation(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes of a plain function of positional arguments an operation that formulations can stand in for."""

    def decorate(plain: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(plain)
        def choose(*arguments: Any) -> Any:
            for formulation in _table.value or ():
                if formulation.operation == name and formulation.applies(*arguments):
                    return formulation.function(*arguments)
            return plain(*arguments)

        return choose

    return decorate
