"""B4 as documented: images and a label file become arrays, kept as .npy beside them and read again."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from jaxnets.data.formats.form import find_form
from jaxnets.data.formats.images import EXTENSIONS
from jaxnets.data.formats.readers import Archive, Contents, Problems
from jaxnets.data.formats.readers.labelled import from_labels, parse_labels
from jaxnets.data.source import ArraySource
from jaxnets.errors import UserError, reason
from jaxnets.files import complete


def labelled_images(
    images: str | os.PathLike,
    labels: str | os.PathLike,
    *,
    channels: int = 1,
    size: tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
    problems: Problems | None = None,
) -> ArraySource:
    """Returns the images that a text file labels, `image label` a line, as arrays.

    They are kept beside the text file (`NAME.x.npy`, `NAME.y.npy`, `NAME.cache.json`) and read from there as
    long as the names, sizes and times of all files are what they were. Bytes are kept, as everywhere in
    jaxnets; the division by 255 is the train step's.

    The arrays have the order of the text file's lines.

    Args:
        images: The folder.
        labels: The text file.
        channels: 1 makes them grey, as the document does; 3 colour.
        size: (height, width) to scale all to; by default they must be of one size.
        classes: For held-out images, those of the training images, so that the labels get the same numbers;
            not all of them need be there.
        problems: What to do about lines and images that are wrong.

    Raises:
        UserError: a file is missing or wrong; the message says which line.
    """
    folder, file = Path(images), Path(labels)
    problems = problems or Problems()
    if not file.is_file():
        raise UserError(f"{file}: there is no such label file")
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of images")
    wanted = _fingerprint(folder, file, channels, size, classes)
    stored = {key: file.with_suffix(f".{key}.npy") for key in "xy"}
    note = file.with_suffix(".cache.json")
    if note.exists():
        try:
            known = json.loads(note.read_text(encoding="utf-8"))
            if known["fingerprint"] == wanted:
                problems.found += known["left_out"]
                return ArraySource(np.load(stored["x"]), np.load(stored["y"]), known["classes"])
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            pass  # a cache that is damaged is made anew
    archive = Archive(folder)
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text in UTF-8 ({reason(error)})") from error
    split = "train" if classes is None else "test"
    lines = {split: parse_labels(text, str(file), archive, ("",), problems)}
    contents = from_labels(archive, lines, problems, classes)
    examples = contents.splits[split]
    form = find_form(Contents(contents.classes, {"train": examples}), problems, channels=channels, size=size)
    x, y = [], []
    for where, content, label in examples():
        try:
            x.append(form.pixels(where, content))
            y.append(label)
        except UserError as error:
            problems(error)
    source = ArraySource(np.stack(x), np.array(y), contents.classes)
    known = {"fingerprint": wanted, "classes": contents.classes, "left_out": problems.found}
    with suppress(OSError, UserError):  # in a folder that cannot be written to, there is no cache
        note.unlink(missing_ok=True)  # nor is there one until both arrays are whole
        np.save(stored["x"], source.x)
        np.save(stored["y"], source.y)
        with complete(note) as partial:
            partial.write_text(json.dumps(known), encoding="utf-8")
    return source


def _fingerprint(
    folder: Path, labels: Path, channels: int, size: tuple[int, int] | None, classes: Sequence[str] | None
) -> str:
    """Of what the arrays depend on: names, sizes and times of the files, and the form asked for."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    stats = [(str(path.relative_to(folder)), path.stat()) for path in files] + [("", labels.stat())]
    facts = [channels, size, classes, *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
