"""Ctrl-C in a program of ours: no traceback and exit code 130, also while Python still imports.

KeyboardInterrupt does only where code of ours runs. Raised in the midst of an import it comes out as another
error (tensorstore's "initialization failed"), gets lost in a callback, or crashes a module of C that is half
there; raised while Python ends, it is printed. What happens before our first line is Python's own, so that
this module imports next to nothing.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130


def end_at_once() -> None:
    """From here on Ctrl-C ends the process on the spot, where it would have raised KeyboardInterrupt.

    For the first line of a program: what a library's user has Ctrl-C do is not ours to change.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, nor anybody else's
        signal.signal(signal.SIGINT, _end)


def imported_by_program() -> bool:
    """Whether the module that asks is being imported by the program itself: no other module, no session."""
    frame: FrameType | None = sys._getframe(2)
    while frame and _imports(frame):
        frame = frame.f_back
    names = frame.f_globals if frame else {}
    return names.get("__name__") == "__main__" and "__file__" in names


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Inside the block Ctrl-C raises KeyboardInterrupt after all, but not in an import.

    Changes nothing where `end_at_once` has not been called.
    """
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    hook = sys.unraisablehook
    try:
        sys.unraisablehook = lambda lost: _end() if lost.exc_type is KeyboardInterrupt else hook(lost)
        signal.signal(signal.SIGINT, _raise)
        yield
    finally:
        signal.signal(signal.SIGINT, _end)
        sys.unraisablehook = hook


def _raise(_: int, frame: FrameType | None) -> None:
    while frame:
        if _imports(frame):
            _end()
        frame = frame.f_back
    raise KeyboardInterrupt


def _imports(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith("<frozen importlib")


def _end(*_: object) -> None:
    try:
        os.write(2, b"stopped\n")
    finally:
        os._exit(EXIT_CODE)
