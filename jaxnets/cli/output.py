"""Standard output and error that fail as they should: in one line, and not at all if nobody reads them."""

import io
import os
import sys
from typing import Any

from jaxnets.errors import UserError


class _Stream(io.FileIO):
    """The file of a standard stream; what it cannot write once, it throws away from then on.

    Args:
        number: File descriptor.
        tells: Whether a failure is worth an error; that a reader has gone (`... | head`) never is.
    """

    def __init__(self, number: int, tells: bool):
        super().__init__(number, "w", closefd=False)
        self._tells = tells

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if self._tells and not isinstance(error, BrokenPipeError):
                raise UserError(f"cannot write the output ({error.strerror}): send it elsewhere") from error
            return len(data)


def guard() -> None:
    """Makes this process's stdout raise UserError where it cannot be written, and its stderr drop what fails.

    A program whose reader has gone runs to its end. Streams that a test or a notebook has put there stay.
    """
    for name, tells in (("stdout", True), ("stderr", False)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and _is_file(stream):
            setattr(sys, name, _guarded(stream, tells))
        elif tells and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_file(stream: io.TextIOWrapper | None) -> bool:
    """Returns whether a stream is closed or a file, not a console of Windows, which encodes by itself."""
    return stream is None or isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO)


def _guarded(stream: io.TextIOWrapper | None, tells: bool) -> io.TextIOWrapper:
    if (
        stream is None
    ):  # closed by the caller: a descriptor in its place, or the next file would get its number
        return io.TextIOWrapper(io.BufferedWriter(_Stream(os.open(os.devnull, os.O_RDONLY), tells)))
    stream.flush()
    file: Any = _Stream(stream.fileno(), tells)
    return io.TextIOWrapper(
        file if stream.write_through else io.BufferedWriter(file),
        stream.encoding,
        "backslashreplace",  # file names can hold any character
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
