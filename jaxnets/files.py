"""Files that are either complete or absent, and one sentence for a failure to write them."""

import filecmp
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxnets.errors import UserError

PART = ".part"  # the suffix of a file that is being written; a killed process leaves it behind


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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a system error inside the block into a UserError: `path` cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path} ({reason}): make room, or choose another place") from error
