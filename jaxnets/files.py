"""Files that are either complete or absent, one sentence for what goes wrong, and bounds on reading."""

import filecmp
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from jaxnets.errors import UserError, reason

PART = ".part"  # the suffix of a file that is being written; a killed process leaves it behind
UNPACKED = 1 << 27  # bytes that anything may unpack to
SHRINKING = 100  # how many times its packed size anything larger may unpack to
LARGEST_JSON = 1 << 24
LONGEST_LINE = 1 << 20


@contextmanager
def complete(path: Path) -> Iterator[Path]:
    """Yields a file beside `path` that replaces it once written to disk; missing folders are created.

    Whenever the process ends, `path` is either the old file or the new one.

    Raises:
        UserError: If the file cannot be written there.

    Examples:
        >>> with complete(Path("weights.bin")) as part:
        ...     part.write_bytes(b"all of them")
        11
        >>> Path("weights.bin").read_bytes()
        b'all of them'
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            if not path.exists() or not filecmp.cmp(part, path, shallow=False):
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
                part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def set_aside(path: Path, aside: Path) -> Path:
    """Renames a damaged file or folder, keeping what was set aside before, and returns its new path."""
    while aside.exists():
        aside = aside.with_name(f"{aside.stem}-again{aside.suffix}")
    with writing(aside):
        aside.parent.mkdir(exist_ok=True)
        return path.rename(aside)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a system error inside the block into a UserError: `path` cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path} ({reason}): make room, or choose another place") from error


def most_unpacked(packed: int) -> int:
    """Returns the bytes to which `packed` bytes may unpack; more are a file made to fill the memory."""
    return max(UNPACKED, SHRINKING * packed)


def check_unpacked(where: str, size: int, packed: int) -> None:
    """Raises UserError if something would unpack from `packed` bytes to a `size` that no honest file has."""
    if size > most_unpacked(packed):
        raise UserError(
            f"{where} would unpack from {packed:,} bytes to {size:,}, as only files do that are made to fill "
            "the memory: get it from another source"
        )


def bounded_lines(file: TextIO, where: str) -> Iterator[str]:
    """Yields the lines of a text file; raises UserError for one that is too long for a table or a list."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise UserError(f"{where}, line {number}: it has more than {LONGEST_LINE:,} characters")
        yield line


def read_json(path: Path) -> Any:
    """Returns the value in a JSON file of settings, see `parse_json`; raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return parse_json(file.read(LARGEST_JSON + 1), str(path))


def parse_json(content: str | bytes, where: str) -> Any:
    """Returns the value in a JSON text.

    Raises:
        UserError: If it is not JSON in UTF-8, larger than any settings are, or nested too deep.
    """
    if len(content) > LARGEST_JSON:
        raise UserError(f"{where} has more than {LARGEST_JSON:,} bytes, which no settings have: restore it")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} cannot be read as JSON ({reason(error)}): restore it") from error
