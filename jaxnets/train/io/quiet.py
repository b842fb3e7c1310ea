"""Keeps Orbax's account of a broken file or full disk, hundreds of lines of many threads, off the screen."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CoroutineType
from typing import Any


@contextmanager
def quiet(failed: Callable[[BaseException], None] | None = None) -> Iterator[None]:
    """Context manager within which Orbax's logs and what its abandoned reads raise are not printed.

    What went wrong is raised to its caller as well, and that is where it is told, in one sentence.

    Args:
        failed: Function to call at once with the error of a write in the background.
    """
    logs, hook = (logging.getLogger("absl"), logging.getLogger("asyncio")), sys.unraisablehook

    def lost(what: Any) -> None:
        """Called for coroutines that would have gone on reading, and by threads whose reader has gone."""
        is_read = isinstance(what.object, CoroutineType) and "orbax" in what.object.cr_code.co_filename
        if not is_read and str(what.exc_value) != "Event loop is closed":
            hook(what)

    def is_printed(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] and failed and "background save" in record.getMessage():
            failed(record.exc_info[1])
        return "orbax" not in record.pathname and "exception was never retrieved" not in record.getMessage()

    for log in logs:
        log.addFilter(is_printed)
    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for log in logs:
            log.removeFilter(is_printed)
