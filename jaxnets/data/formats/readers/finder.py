"""The images of an archive by the names that label files give them."""

import posixpath
from collections import defaultdict
from collections.abc import Sequence

from jaxnets.data.formats.kinds import EXTENSIONS
from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.contents import split_of


class Finder:
    """Finds images by name, with or without their ending, wherever they lie.

    Args:
        archive: Archive that holds the images.
    """

    def __init__(self, archive: Archive):
        self._whole: dict[str, list[str]] = defaultdict(list)  # by their paths, and by the last part of those
        self._last: dict[str, list[str]] = defaultdict(list)
        for name in archive.names:
            stem, ending = posixpath.splitext(name)
            if ending.lower() in EXTENSIONS:
                for known in (name, stem):
                    self._whole[known].append(name)
                    self._last[posixpath.basename(known)].append(name)

    def find(self, name: str, folders: Sequence[str] = ("",), split: str | None = None) -> list[str]:
        """Returns the images of this name: in the first of the folders that has one, else in any folder.

        Of several in other folders, those are meant whose path contains the split.
        """
        name = name.replace("\\", "/")
        for folder in folders:
            if there := self._whole.get(posixpath.normpath(posixpath.join(folder, name))):
                return there
        end = "/" + posixpath.normpath(name)
        found = [
            one
            for one in self._last.get(posixpath.basename(end), ())
            if f"/{one}".endswith(end) or f"/{posixpath.splitext(one)[0]}".endswith(end)
        ]
        in_split = [one for one in found if split and split_of(posixpath.dirname(one)) == split]
        return in_split or found

    def is_image(self, field: str) -> bool:
        """Returns whether a field of a line is the name of an image, which need not be there."""
        return field.lower().endswith(EXTENSIONS) or bool(self.find(field))
