"""All files below a folder, on a disk or in an archive: links are followed, and names are made readable."""

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jaxnets.errors import UserError

MOST_WAYS = 16  # that lead to one folder: links to folders of links double them without end
MOST_DEPTH = 100  # folders above a file
MOST_STEPS = 200  # along the path of a link
UNREADABLE = re.compile("[\udc80-\udcff]")  # how Python keeps bytes that are in no known encoding
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ESCAPED = re.compile(r"\\x[0-9a-f]{2}")
JUNK = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin"}  # of systems, not of users

Entry = tuple[str, str, Any]  # its name; "file", "folder" or "lost"; where it is, or why it is lost
Where = Callable[[str], str]  # returns the name of a file for messages


@dataclass
class Found:
    """What lies below a folder.

    Attributes:
        files: Where each file is, by its name ("a/b.png").
        folders: Names of the folders.
        lost: Why a name leads to no file or folder.
    """

    files: dict[str, Any] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)


def readable(raw: bytes, encoding: str = "utf-8") -> str:
    r"""Returns a text that is in UTF-8, or else in the given encoding; what is in neither becomes \xNN.

    Examples:
        >>> readable("猫狗".encode()), readable("猫狗".encode("gbk"), "gbk"), readable(b"caf\xe9")
        ('猫狗', '猫狗', 'caf\\xe9')
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode(encoding, "surrogateescape")
    text = unicodedata.normalize("NFC", text)  # macOS writes é as two characters
    return UNREADABLE.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def readable_names(names: Iterable[str], encoding: str) -> dict[str, str]:
    """Returns a `readable` name of one line for each, all in one encoding: some of GBK may pass for UTF-8."""
    raw = {name: _bytes_of(name).replace(b"\0", b"\1") for name in names}
    lines = readable(b"\0".join(raw.values()), encoding).split("\0")
    return {
        name: CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)
        for name, line in zip(raw, lines, strict=bool(raw))
    }


def _bytes_of(name: str) -> bytes:
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which Windows allows
        return name.encode("utf-8", "backslashreplace")


def walk(root: Any, entries: Callable[[Any], Iterable[Entry]]) -> Found:
    """Returns what lies below a folder, hidden files left out.

    Args:
        root: The folder, hashable.
        entries: Returns what a folder holds.
    """
    found, ways = Found(), Counter[Any]()
    waiting: list[tuple[str, Any, frozenset[Any]]] = [("", root, frozenset())]
    while waiting:
        name, folder, above = waiting.pop()
        ways[folder] += 1
        if folder in above:
            found.lost[name] = "is a link to a folder that it lies in"
        elif ways[folder] > MOST_WAYS or len(above) > MOST_DEPTH:
            found.lost[name] = f"is one of more than {MOST_WAYS} links to a folder, or lies too deep"
        else:
            if name:
                found.folders.append(name)
            for part, kind, what in entries(folder):
                below = f"{name}/{part}" if name else part
                if part.startswith(".") or part.lower() in JUNK:
                    continue
                if kind == "folder":
                    waiting.append((below, what, above | {folder}))
                else:
                    (found.files if kind == "file" else found.lost)[below] = what
    return found


def entries_on_disk(folder: str) -> Iterator[Entry]:
    """Yields what a folder on a disk holds, given its real path."""
    try:
        with os.scandir(folder) as listing:
            listed = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error
    for entry in listed:
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            why = "is a link to nothing" if entry.is_symlink() else f"cannot be read: {error.strerror}"
            yield entry.name, "lost", why
            continue
        if stat.S_ISDIR(mode):
            yield entry.name, "folder", os.path.realpath(entry.path)
        elif stat.S_ISREG(mode):
            yield entry.name, "file", entry.path
        else:
            yield entry.name, "lost", "is neither a file nor a folder"


class Folder(dict[str, Any]):
    """A folder of a `Tree`: folders, places of files, and links, by their names."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__

    def __init__(self, parent: "Folder | None" = None):
        super().__init__()
        self.parent = parent


@dataclass(frozen=True)
class Link:
    """A link to a path, from the folder that holds it."""

    folder: Folder
    target: str


class Tree:
    """The folders of an archive, made of its members' names: no link leads outside.

    Args:
        where: Returns the name of a file for messages.
    """

    def __init__(self, where: Where) -> None:
        self.root, self.lost, self._where = Folder(), dict[str, str](), where

    def add(self, name: str, what: Any = None, *, link: str | None = None, hard: bool = False) -> None:
        """Adds a member: a file, a link, or else a folder.

        Args:
            name: Its name, with "/".
            what: Where a file is.
            link: Path that a link leads, from its own folder, or from the outermost one if it is `hard`.
            hard: Whether it is a hard link.

        Raises:
            UserError: If the name is there already.
        """
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or len(parts) > MOST_DEPTH:
            self.lost[name] = "lies outside, or too deep"
            return
        is_folder = what is None and link is None
        folder: Any = self.root
        for part in parts if is_folder else parts[:-1]:
            folder = folder.setdefault(part, Folder(folder))
            if not isinstance(folder, Folder):
                raise UserError(f"{self._where(name)} is there more than once: pack it again")
        if is_folder:
            return
        if not parts or parts[-1] in folder:
            raise UserError(f"{self._where(name)} is there more than once: pack it again")
        folder[parts[-1]] = what if link is None else Link(self.root if hard else folder, link)

    def found(self) -> Found:
        """Returns what lies in it."""
        found = walk(self.root, self._entries)
        found.lost |= self.lost
        return found

    def _entries(self, folder: Folder) -> Iterator[Entry]:
        for name, what in folder.items():
            real = _follow(what, [MOST_STEPS]) if isinstance(what, Link) else what
            if real is None:
                yield name, "lost", f"is a link to {what.target}, which is not in there"
            else:
                yield name, "folder" if isinstance(real, Folder) else "file", real


def _follow(link: Link, steps: list[int]) -> Any:
    """Returns what a link leads to in the end; None if that is nothing."""
    if link.target.startswith("/"):
        return None
    here: Any = link.folder
    for part in link.target.split("/"):
        steps[0] -= 1
        if steps[0] < 0 or not isinstance(here, Folder):
            return None
        if part not in ("", "."):
            here = here.parent if part == ".." else here.get(part)
        if isinstance(here, Link):
            here = _follow(here, steps)
    return here
