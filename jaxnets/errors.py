"""Exceptions that are no defects: what a user can put right, and a run that was told to stop."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """What was asked for is wrong; the message is one sentence: what, where and what would be right."""


class NotAtHand(UserError):
    """A data set that is known by name, but neither prepared on this machine nor to be had now."""


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, and has saved itself where it has a folder.

    Attributes:
        exit_code: 130 after Ctrl-C, 0 after SIGTERM.
        state: The state reached.
        history: The records of the epochs done.
    """

    def __init__(self, message: str, exit_code: int, state: Any = None, history: Sequence[Any] = ()):
        super().__init__(message)
        self.exit_code, self.state, self.history = exit_code, state, list(history)


def reason(error: BaseException) -> str:
    """Returns the first line of an error's message, or its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")


def lookup(table: Mapping[str, T], name: str, what: str, elsewhere: Iterable[str] = (), where: str = "") -> T:
    """Returns `table[name]`.

    Args:
        table: What is known, by name.
        name: The name asked for.
        what: What the table holds, in words ("model", "optimizer").
        elsewhere: Further names that would have been right, too many to list: only the closest is named.
        where: What those further names are, in words.

    Raises:
        UserError: the name is unknown; the message lists the known ones and the closest.
    """
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, [*table, *elsewhere], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    more = f" and {where}" if where else ""
    raise UserError(f"unknown {what} {name!r}{hint}; known: {', '.join(table)}{more}")
