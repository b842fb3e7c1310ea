"""The one exception for what a user can put right, and how a command shows it: one line and exit code 2."""

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """What was asked for is wrong: its message is one sentence that says what, where and what would be right."""


def lookup(table: Mapping[str, T], name: str, what: str, also: Iterable[str] = ()) -> T:
    """Returns `table[name]`.

    Args:
        table: what is known, by name.
        name: the name asked for.
        what: what the table holds, in words ("model", "optimizer").
        also: further names that are right elsewhere, named in the message.

    Raises:
        UserError: the name is unknown; the message lists the known ones and the closest.
    """
    if name in table:
        return table[name]
    known = [*table, *also]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise UserError(f"unknown {what} {name!r}{hint}; known: {', '.join(known)}")


def exit_with(command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls `command`; a `UserError` becomes one line on stderr and exit code 2, a defect keeps its traceback."""
    try:
        return command(*args, **kwargs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
