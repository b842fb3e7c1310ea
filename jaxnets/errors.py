"""Exceptions that are not bugs: errors that the user can correct, and a run that was told to stop."""

import difflib
import operator
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """Wrong input; the message is one sentence that says what is wrong, where, and what would be right."""


class NotAtHand(UserError):
    """A data set whose name is known, but which is not prepared here and cannot be obtained now."""


class Interrupted(KeyboardInterrupt):
    """A run was told to stop; if it has a folder, it is saved there.

    Attributes:
        exit_code: 130 after Ctrl-C, 0 after SIGTERM.
        state: The state reached.
        history: The records of the epochs done.
    """

    def __init__(self, message: str, exit_code: int, state: Any = None, history: Sequence[Any] = ()):
        super().__init__(message)
        self.exit_code, self.state, self.history = exit_code, state, list(history)


def reason(error: BaseException) -> str:
    """Returns the first line of an error's message, or the error's type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")


def whole(what: str, value: Any, least: int | None = None) -> int:
    """Returns a whole number as an int.

    Args:
        what: What the number is, in words ("batch size").
        value: An int, or a whole number of NumPy's or JAX's types.
        least: The smallest that is allowed. By default all are.

    Raises:
        UserError: If it is no whole number (2.0 is none), or smaller.

    Examples:
        >>> whole("epochs", 2.5, least=1)
        Traceback (most recent call last):
        jaxnets.errors.UserError: epochs 2.5: it must be a whole number, at least 1
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        limit = "" if least is None else f", at least {least}"
        raise UserError(f"{what} {value!r}: it must be a whole number{limit}")
    return number


def expect_sizes(what: str, value: Any) -> None:
    """Raises UserError unless a value is an int of at least 1, or a tuple of them, one for each axis.

    Args:
        what: What the value is, in words ("strides").
        value: The value.

    Examples:
        >>> expect_sizes("strides", (2, 0))
        Traceback (most recent call last):
        jaxnets.errors.UserError: strides (2, 0): give an int, at least 1, or one for each axis
    """
    several = isinstance(value, tuple | list)
    for number in value if several else [value]:
        if not isinstance(number, Integral if several else int) or number < 1:
            raise UserError(f"{what} {value!r}: give an int, at least 1, or one for each axis")


def expect(what: str, value: Any, kind: type, right: str) -> None:
    """Raises UserError unless a value is of the kind that is expected.

    Args:
        what: What the value is, in words ("the state").
        value: The value.
        kind: The type that it must have.
        right: What to give, in words.

    Examples:
        >>> expect("keep", "runs/mine", dict, "a dict")
        Traceback (most recent call last):
        jaxnets.errors.UserError: keep is of type str: give a dict
    """
    if not isinstance(value, kind):
        found = (
            f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"
        )
        raise UserError(f"{what} is {found}: give {right}")


def lookup(table: Mapping[str, T], name: str, what: str, elsewhere: Iterable[str] = (), where: str = "") -> T:
    """Returns `table[name]`.

    Args:
        table: The known entries by name.
        name: The name asked for.
        what: What an entry is, in words ("model", "optimizer").
        elsewhere: Further valid names, too many to list; only the closest match is named.
        where: What those further names are, in words.

    Raises:
        UserError: If the name is unknown; the message lists the known names and the closest match.
    """
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, [*table, *elsewhere], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    more = f" and {where}" if where else ""
    raise UserError(f"unknown {what} {name!r}{hint}; known: {', '.join(table)}{more}") from None


class Table(dict[str, T]):
    """A dict that says, of a name that it does not have, which ones it has: `lookup` by `table[name]`.

    Args:
        what: What an entry is, in words.

    Examples:
        >>> table = Table("model")
        >>> table |= {"lenet5": 1}
        >>> table["lenet"]
        Traceback (most recent call last):
        jaxnets.errors.UserError: unknown model 'lenet' (did you mean lenet5?); known: lenet5
    """

    def __init__(self, what: str):
        super().__init__()
        self.what = what

    def __missing__(self, name: str) -> T:
        return lookup(self, name, self.what)
