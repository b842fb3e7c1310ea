"""Unpacking that stops before it fills the memory: tars and gzip files of bounded size."""

import gzip
import io
import tarfile
import zlib
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError, reason
from jaxnets.files import check_unpacked, most_unpacked


class BoundedTar(tarfile.TarFile):
    """A tar, compressed or not, that is refused where it would unpack to far more than it has bytes.

    Examples:
        >>> with tarfile.open("two.tar.gz", "w:gz") as tar:
        ...     for name in ("one", "two"):
        ...         tar.addfile(tarfile.TarInfo(name))
        >>> with BoundedTar.open("two.tar.gz") as tar:
        ...     [member.name for member in tar]
        ['one', 'two']
    """

    @classmethod
    def taropen(cls, name: Any, mode: Any = "r", fileobj: Any = None, **options: Any) -> Any:
        """Opens the tar inside; `fileobj` unpacks it, if it is compressed."""
        if fileobj is not None:
            fileobj = _Bounded(fileobj, Path(name))
        return super().taropen(name, mode, fileobj, **options)

    def next(self) -> tarfile.TarInfo | None:
        """Returns the next member; its size is compared before its contents are read or skipped."""
        member = super().next()
        if member is not None:
            path = Path(str(self.name))
            check_unpacked(f"{member.name} in {path}", member.size, path.stat().st_size)
        return member


class _Bounded:
    """What tarfile needs of a file that unpacks another, up to a bound."""

    def __init__(self, file: Any, path: Path):
        self._file, self._path, self._packed = file, path, path.stat().st_size
        self._most = most_unpacked(self._packed)
        self.tell, self.close = file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        left = self._most + 1 - self.tell()
        content = self._file.read(left if size < 0 else min(size, left))
        self._check(self.tell())
        return content

    def seek(self, position: int) -> int:
        self._check(position)
        return self._file.seek(position)

    def _check(self, position: int) -> None:
        check_unpacked(str(self._path), position, self._packed)


def gunzip(content: bytes, where: str) -> bytes:
    """Returns what a gzip file holds.

    Args:
        content: Content of the file.
        where: Its name, for messages.

    Raises:
        UserError: If it is damaged, or unpacks to far more than it has bytes.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(most_unpacked(len(content)) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{where} is a gzip file that is damaged ({reason(error)}): download it again"
        ) from error
    check_unpacked(where, len(unpacked), len(content))
    return unpacked
