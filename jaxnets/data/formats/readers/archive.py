"""The files of a folder, or of a tar or zip that stays packed, read in one pass."""

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from jaxnets.data.formats.readers.packed import Packed, open_packed
from jaxnets.data.formats.readers.walk import entries_on_disk, readable_names, walk
from jaxnets.errors import UserError


class Archive:
    r"""The files under a folder or in a tar or zip, by name.

    Links are followed, in a tar or zip only to what is in it. A byte of a name that is in no known encoding
    appears as \xNN.

    Args:
        path: Path of the folder, tar (plain, gz, bz2, xz) or zip.
        encoding: Encoding of names or texts, if they are not in UTF-8, such as "gbk".

    Attributes:
        path: Path of the folder, tar or zip.
        encoding: That encoding.
        names: Relative names of all regular files, with "/", sorted. Hidden files (".DS_Store") are left out.
        folders: The names of all folders.
        lost: Messages about what cannot be read, such as links to nothing.

    Raises:
        UserError: If there is nothing at `path`, or it is neither a folder nor an intact tar or zip, or two
            files have one name, or there is no such encoding.
    """

    def __init__(self, path: Path, encoding: str = "utf-8"):
        self.path, self.encoding = Path(path), encoding
        _check_encoding(encoding)
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError as error:
            raise UserError(f"{self.path}: there is no such file or folder") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path} cannot be read: {getattr(error, 'strerror', error)}") from error
        self._packed: Packed | None = None
        if stat.S_ISDIR(mode):
            found = walk(os.path.realpath(self.path), entries_on_disk)
        elif not stat.S_ISREG(mode):
            raise UserError(f"{self.path} is neither a folder nor a file")
        else:
            self._packed = open_packed(self.path, self.where)
            found = self._packed.found()
        names = readable_names([*found.files, *found.folders, *found.lost], encoding)
        self._places = {names[name]: place for name, place in found.files.items()}
        twice = Counter(names[name] for name in found.files).most_common(1)
        if twice and twice[0][1] > 1:
            raise UserError(f"{self.where(twice[0][0])} is there more than once: rename one")
        self.names = tuple(sorted(self._places))
        self.folders = tuple(sorted(names[name] for name in found.folders))
        self.lost = sorted(f"{self.where(names[name])} {why}" for name, why in found.lost.items())

    def where(self, name: str) -> str:
        """Returns the name of a file for messages."""
        return f"{self.path}/{name}" if self._packed is None else f"{name} in {self.path}"

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yields (name, contents) of the wanted files: as listed for a folder, else in the archive's order.

        Raises:
            UserError: If a file cannot be read, or the archive is cut off or damaged.
        """
        if self._packed is None:
            for name in wanted:
                try:
                    yield name, Path(self._places[name]).read_bytes()
                except OSError as error:
                    raise UserError(f"{self.where(name)} cannot be read: {error.strerror}") from error
            return
        names: dict[int, list[str]] = defaultdict(list)  # a file that is linked to has several
        for name in wanted:
            names[self._places[name]].append(name)
        for place, content in self._packed.read(names):
            for name in names[place]:
                yield name, content


def _check_encoding(encoding: str) -> None:
    try:
        known = "a/b".encode(encoding) == b"a/b"
    except (LookupError, UnicodeError, ValueError):
        known = False
    if not known:
        raise UserError(
            f"the encoding {encoding!r} of names is unknown: give one such as gbk, big5 or latin-1"
        )
