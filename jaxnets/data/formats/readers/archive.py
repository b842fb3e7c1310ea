"""The files of a folder, or of a tar (gz, bz2, xz) that stays packed, read in one pass."""

import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxnets.errors import UserError, reason


class Archive:
    """The files under a folder or in a tar, by name.

    Attributes:
        path: Path of the folder or the tar.
        names: Relative names of all regular files, with "/"; sorted for a folder, in its own order for a tar.
            Hidden files (".DS_Store") are left out.
        folders: The names of all folders.

    Raises:
        UserError: If there is nothing at `path`, or it is neither a folder nor an intact tar.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if not self.path.exists():
            raise UserError(f"{self.path}: there is no such file or folder")
        if self.path.is_dir():
            found = [(file.relative_to(self.path).as_posix(), file.is_dir()) for file in self.path.rglob("*")]
            found.sort()
        else:
            with self._tar() as tar:
                found = [(_clean(member.name), member.isdir()) for member in tar if _is_plain(member)]
        found = [(name, is_folder) for name, is_folder in found if not _hidden(name)]
        self.folders = tuple(dict.fromkeys(name for name, is_folder in found if is_folder and name))
        self.names = tuple(name for name, is_folder in found if not is_folder)

    def where(self, name: str) -> str:
        """Returns the name of a file for messages."""
        return f"{self.path}/{name}" if self.path.is_dir() else f"{name} in {self.path}"

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yields (name, contents) of the wanted files: in a tar's own order, or for a folder as listed.

        Raises:
            UserError: If a file cannot be read, or the archive is cut off or damaged.
        """
        if self.path.is_dir():
            for name in wanted:
                try:
                    yield name, (self.path / name).read_bytes()
                except OSError as error:
                    raise UserError(f"{self.where(name)} cannot be read: {error.strerror}") from error
            return
        wanted = frozenset(wanted)
        with self._tar() as tar:
            for member in tar:
                if member.isfile() and (name := _clean(member.name)) in wanted:
                    file = tar.extractfile(member)
                    yield name, file.read() if file else b""

    @contextmanager
    def _tar(self) -> Iterator[tarfile.TarFile]:
        """Opens the tar and, once it has been read, checks that it was complete."""
        try:
            with tarfile.open(self.path) as tar:
                yield tar
                _check_end(tar)
        except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{self.path} is neither a folder nor a complete tar (gz, bz2, xz) ({reason(error)}): "
                "download or pack it again"
            ) from error


def _check_end(tar: tarfile.TarFile) -> None:
    """Reads on to the end, which is zeros: tarfile takes damage between two members for the end."""
    if tar.fileobj is None or not tar.getmembers():
        raise tarfile.ReadError("nothing in it")
    last = tar.getmembers()[-1]
    tar.fileobj.seek(last.offset_data + -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it breaks off after {last.name}")
    while tar.fileobj.read(1 << 16):  # gz and xz compare their checksum at their very end
        pass


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.isfile() or member.isdir()


def _clean(name: str) -> str:
    name = posixpath.normpath(name)
    return "" if name == "." else name


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
