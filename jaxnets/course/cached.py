"""Images and a label file as arrays, cached as .npy files beside them.

Source: docs/results.md, row B4.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from jaxnets.data.formats.form import find_form
from jaxnets.data.formats.kinds import EXTENSIONS
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
    """Returns the images listed in a text file, with one line `image label` for each, as arrays.

    They are cached beside the text file (`NAME.x.npy`, `NAME.y.npy`, `NAME.cache.json`) and read from there
    as long as the names, sizes and times of all files are unchanged. Pixels stay bytes, as everywhere in
    jaxnets; the train step divides them by 255. The arrays are in the order of the lines.

    Args:
        images: Folder of the images.
        labels: Path of the text file.
        channels: Number of channels to convert all images to: 1, grey as in the document, or 3, colour.
        size: (height, width) to scale all images to. By default they must be of one size.
        classes: Names of the classes. For held-out images give those of the training images, so that labels
            get the same numbers; not all of them need occur.
        problems: What to do about faulty lines and images.

    Raises:
        UserError: If a file is missing or faulty; the message names the line.
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
            pass  # a damaged cache is rebuilt
    archive = Archive(folder)
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text in UTF-8 ({reason(error)})") from error
    split = "train" if classes is None else "test"
    lines = {split: parse_labels(text, str(file), archive, problems)}
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
    with suppress(OSError, UserError):  # without write permission there is no cache
        note.unlink(missing_ok=True)  # nor before both arrays are complete
        np.save(stored["x"], source.x)
        np.save(stored["y"], source.y)
        with complete(note) as partial:
            partial.write_text(json.dumps(known), encoding="utf-8")
    return source


def _fingerprint(
    folder: Path, labels: Path, channels: int, size: tuple[int, int] | None, classes: Sequence[str] | None
) -> str:
    """Returns a key of what the arrays depend on: the files' names, sizes and times, and the options."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    stats = [(str(path.relative_to(folder)), path.stat()) for path in files] + [("", labels.stat())]
    facts = [channels, size, classes, *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
