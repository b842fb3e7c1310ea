"""Ctrl-C in jaxnets programs: no traceback and exit code 130, even while Python is still importing.

KeyboardInterrupt works only while code of jaxnets runs. Raised during an import, it surfaces as another error
(tensorstore's "initialization failed"), gets lost in a callback, or crashes a half-loaded C module; raised
while Python exits, it is printed. Before the first line of jaxnets Python's own handler applies, which is why
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
    """Makes Ctrl-C end the process at once from here on, where it would have raised KeyboardInterrupt.

    Only for the first line of a program: a library must not change what its user's Ctrl-C does.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # neither ignored nor handled by others
        signal.signal(signal.SIGINT, _end)


def imported_by_program() -> bool:
    """Returns whether the calling module is being imported by the main program, not a module or a session."""
    frame: FrameType | None = sys._getframe(2)
    while frame and _imports(frame):
        frame = frame.f_back
    names = frame.f_globals if frame else {}
    return names.get("__name__") == "__main__" and "__file__" in names


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Context manager within which Ctrl-C raises KeyboardInterrupt again, except during an import.

    It changes nothing if `end_at_once` has not been called.
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
