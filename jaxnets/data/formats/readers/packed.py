"""Tar and zip files that stay packed: the names in them, and the contents of some, in one pass."""

import contextlib
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from jaxnets.data.formats.readers.bounded import BoundedTar
from jaxnets.data.formats.readers.walk import Found, Tree, Where
from jaxnets.errors import UserError, reason
from jaxnets.files import check_unpacked

ZIP = (b"PK\3\4", b"PK\5\6")  # how a zip begins, and an empty one
MOST_PATH = 4096  # bytes of the path that a link in a zip leads
DEFLATE = 1032  # times its size is the most that a zip can hold: what states more is made to fill the memory
UTF8, ENCRYPTED = 0x800, 1  # flags of a member; the first is about its name
PLAIN = (0, stat.S_IFREG)  # types of members that are files; 0 where the system notes none
UNPACKING = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, struct.error)
DAMAGED = (*UNPACKING, EOFError, OSError, ValueError, ArithmeticError, RuntimeError)


class Packed(Protocol):
    """A tar or zip."""

    def found(self) -> Found:
        """Returns the names in it; the place of a file is its number."""

    def read(self, places: Collection[int]) -> Iterator[tuple[int, bytes]]:
        """Yields (place, contents) of some files, in its own order."""


def open_packed(path: Path, where: Where) -> Packed:
    """Returns a tar or zip by its first bytes."""
    try:
        with path.open("rb") as file:
            zipped = file.read(4) in ZIP
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return (Zip if zipped else Tar)(path, where)


class Tar:
    """A tar: plain, gz, bz2 or xz.

    Args:
        path: Path of the file.
        where: Returns a name for messages.
    """

    def __init__(self, path: Path, where: Where):
        self.path, self._where = path, where

    def found(self) -> Found:
        """Returns the names in it; the place of a file is its number.

        Raises:
            UserError: If it is not a tar, cut off or damaged, or holds two files of one name.
        """
        tree = Tree(self._where)
        with self._tar() as tar:
            for number, member in enumerate(tar):
                name = member.name
                if member.isdir():
                    tree.add(name)
                elif member.isfile():
                    tree.add(name, number)
                elif member.islnk() or member.issym():
                    tree.add(name, link=member.linkname, hard=member.islnk())
                else:
                    tree.lost[name] = "is neither a file nor a folder"
        return tree.found()

    def read(self, places: Collection[int]) -> Iterator[tuple[int, bytes]]:
        """Yields (place, contents) of some files, in its own order.

        Raises:
            UserError: If a file would unpack to far more than the archive has bytes.
        """
        with self._tar() as tar:
            for number, member in enumerate(tar):
                if number in places:
                    file = tar.extractfile(member)
                    yield number, file.read() if file else b""

    @contextlib.contextmanager
    def _tar(self) -> Iterator[tarfile.TarFile]:
        """Opens the tar and, once it has been read, checks that it was complete."""
        with (
            _whole(self.path, "complete tar (gz, bz2, xz) or zip"),
            BoundedTar.open(self.path, encoding="utf-8", errors="surrogateescape") as tar,
        ):
            yield tar
            _check_end(tar)


class Zip:
    """A zip, of members that are stored or deflated; arguments and errors as for `Tar`."""

    def __init__(self, path: Path, where: Where):
        self.path, self._where = path, where

    def found(self) -> Found:
        """Returns the names in it; the place of a file is its number."""
        tree = Tree(self._where)
        with self._zip() as opened:
            for number, member in enumerate(opened.infolist()):
                name = self._name(member)
                if member.flag_bits & ENCRYPTED:
                    raise UserError(f"{self._where(name)} is encrypted: unpack it with its password")
                opened.open(member).close()  # compares its name with that beside its contents
                kind = stat.S_IFMT(member.external_attr >> 16) if member.create_system else 0
                if name.endswith("/") and not member.file_size:
                    tree.add(name)
                elif kind == stat.S_IFLNK:
                    tree.add(name, link=_name_of(self._content(opened, member, MOST_PATH)))
                elif kind in PLAIN and not name.endswith("/"):
                    tree.add(name, number)
                else:
                    tree.lost[name] = "is neither a file nor a folder"
        return tree.found()

    def read(self, places: Collection[int]) -> Iterator[tuple[int, bytes]]:
        """Yields (place, contents) of some files, in its own order."""
        with self._zip() as opened:
            for number, member in enumerate(opened.infolist()):
                if number in places:
                    yield number, self._content(opened, member)

    def _name(self, member: zipfile.ZipInfo) -> str:
        """Returns its name; without a flag for UTF-8 zipfile takes the bytes for an old code page."""
        name = member.filename
        if not member.flag_bits & UTF8 and not name.isascii():
            with contextlib.suppress(UnicodeEncodeError):  # zipfile found the name in UTF-8 elsewhere
                name = _name_of(name.encode("cp437"))
        return name if "/" in name else name.replace("\\", "/")  # which old .NET writes

    def _content(self, opened: zipfile.ZipFile, member: zipfile.ZipInfo, most: int | None = None) -> bytes:
        where = self._where(self._name(member))
        if most is not None and member.file_size > most:
            raise UserError(
                f"{where} is a link of {member.file_size:,} bytes, {most:,} at most: leave it out"
            )
        check_unpacked(where, member.file_size, self.path.stat().st_size)
        if member.file_size > DEFLATE * member.compress_size:
            raise UserError(
                f"{where} states that it holds {member.file_size:,} bytes, more than can be in it"
            )
        content = opened.read(member)
        if len(content) != member.file_size:
            raise zipfile.BadZipFile(f"{where} is cut off")
        return content

    @contextlib.contextmanager
    def _zip(self) -> Iterator[zipfile.ZipFile]:
        with _whole(self.path, "complete zip"), zipfile.ZipFile(self.path) as opened:
            members = opened.infolist()
            if not {member.compress_type for member in members} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise UserError(f"{self.path} is packed in another way than by deflate: unpack it first")
            if sum(member.compress_size for member in members) > self.path.stat().st_size:
                raise zipfile.BadZipFile("its members overlap")
            yield opened


def _name_of(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _whole(path: Path, kind: str) -> Iterator[None]:
    """Turns what reading a damaged archive raises into a UserError."""
    try:
        yield
    except UserError:
        raise
    except DAMAGED as error:
        why = reason(error)[:100]
        raise UserError(
            f"{path} is neither a folder nor a {kind} ({why}): download it again, or unpack it"
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
