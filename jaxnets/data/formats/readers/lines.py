"""The lines of label files: what separates their fields, and which of them are image, label and split."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxnets.data.formats.kinds import EXTENSIONS
from jaxnets.data.formats.readers.contents import is_split, split_of

SEPARATORS = ("\t", ";", ",", "->", "=>", "|", ":", "=", "")  # "", white space, is last: names have spaces
ENDING = "|".join(re.escape(ending) for ending in EXTENSIONS)
NAME_FIRST = re.compile(rf"(.*?(?:{ENDING}))\s++(.*)", re.IGNORECASE)
NAME_LAST = re.compile(rf"(\S++)\s++(.*(?:{ENDING}))", re.IGNORECASE)
QUOTED = re.compile(r"^(['\"])(.*)\1$")
# Words of headers, without punctuation.
IMAGE = re.compile(r"(image|img|picture|photo|file)(s|id|name|file|path)?|id|name|path|fname")
LABEL = re.compile(r"(label|class|category|target)(e?s|id|name|label)?|y|tag|breed|species|diagnosis")

SAMPLE = 200  # lines that tell what a file is: it may be a table of millions of pixels

IsImage = Callable[[str], bool]


@dataclass(frozen=True)
class Line:
    """A line of a label file: its number and its fields, or all of its text if it has others (`wrong`)."""

    number: int
    image: str = ""
    label: str = ""
    split: str | None = None
    wrong: str = ""


@dataclass(frozen=True)
class Table:
    """A text file that names images.

    Attributes:
        lines: Its lines, without the header; none if it has only one column.
        unclear: Why they do not tell which label an image has; "" if they do.
    """

    lines: tuple[Line, ...] = ()
    unclear: str = ""


def read_table(text: str, is_image: IsImage) -> Table | None:
    """Returns what a label file says; None if more than half of its first lines name no image.

    The lines are an image and a label, in either order, separated by whatever is usual. More columns need a
    header that names the label's, but one whose words are all names of splits is understood. If it is not
    clear, and numbers name the images, it is no label file: they may do so by chance.

    Args:
        text: Text of the file.
        is_image: Whether a field names an image.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for separator in SEPARATORS:
        sample = [_fields(line, separator) for _, line in lines[:SAMPLE] if separator in line]
        if 2 * len(sample) < len(lines[:SAMPLE]):
            continue
        if names := _name_columns(sample, is_image):
            table = _table(lines, [_fields(line, separator) for _, line in lines], names, is_image)
            chance = all(row[names[0]].isdecimal() for row in sample if len(row) > names[0])
            return None if table.unclear and chance else table
    return None


def _fields(line: str, separator: str) -> list[str]:
    if not separator and '"' not in line:
        if match := NAME_FIRST.fullmatch(line):
            return [match[1], *match[2].split()]
        match = NAME_LAST.fullmatch(line)
        return [*match.groups()] if match else line.split()
    if len(separator) > 1:
        fields = [QUOTED.sub(r"\2", field.strip()) for field in line.split(separator)]
    else:
        try:
            (fields,) = csv.reader([line], delimiter=separator or " ", skipinitialspace=True, strict=True)
        except csv.Error:
            return [line]
    fields = [field.strip() for field in fields]
    while len(fields) > 1 and not fields[-1]:
        fields.pop()
    return fields


def _name_columns(rows: Sequence[Sequence[str]], is_image: IsImage) -> list[int]:
    """Returns the columns that may hold the names of images: those with their endings, if there are any."""

    def columns(test: IsImage) -> list[int]:
        counts = Counter(column for row in rows for column, field in enumerate(row) if test(field))
        return [column for column, count in sorted(counts.items()) if 2 * count >= len(rows)]

    found = columns(lambda field: field.lower().endswith(EXTENSIONS)) or columns(is_image)
    once = [column for column in found if _all_differ(rows, column)]  # unlike labels
    return once if len(once) == 1 else found


def _all_differ(rows: Sequence[Sequence[str]], column: int) -> bool:
    values = [row[column] for row in rows if column < len(row)]
    return len(set(values)) == len(values)


def _table(
    lines: Sequence[tuple[int, str]], rows: Sequence[list[str]], names: Sequence[int], is_image: IsImage
) -> Table:
    if len(names) > 1:
        return Table(unclear="several of its columns name images")
    name, width = names[0], Counter(map(len, rows)).most_common(1)[0][0]
    if width < 2:
        return Table()
    header = rows[0] if _is_header(rows[0], name, is_image) else []
    body = [row for row in rows[bool(header) :] if len(row) == width]
    others = [column for column in range(width) if column != name]
    splits = [column for column in others if all(is_split(row[column]) for row in body)]
    labels = [column for column in others if column not in splits]
    if len(labels) > 1 and len(header) == width:
        named = [column for column in labels if LABEL.fullmatch(_word(header[column]))]
        if len(named) != 1:
            some = ", ".join(header[column] for column in labels[:5])
            return Table(unclear=f"the label may be in any of the columns {some}")
        labels = named
    if not labels:
        return Table(unclear="it has no column of labels")
    if len(labels) > 1 or len(splits) > 1:
        return Table(unclear=f"it has {width} columns, and no header that calls one of them label")
    columns = (name, labels[0], *splits)
    body_lines = list(zip(lines, rows, strict=True))[bool(header) :]
    return Table(tuple(_line(number, text, row, width, columns) for (number, text), row in body_lines))


def _line(number: int, text: str, row: list[str], width: int, columns: Sequence[int]) -> Line:
    image, label, *split = (row[column] for column in columns) if len(row) == width else ("", "")
    if not image or not label:
        return Line(number, wrong=text)
    return Line(number, image, label, split_of(split[0]) if split else None)


def _is_header(row: list[str], name: int, is_image: IsImage) -> bool:
    """Returns whether a row names the column of images in a usual word, and no image."""
    return name < len(row) and IMAGE.fullmatch(_word(row[name])) is not None and not is_image(row[name])


def _word(field: str) -> str:
    return re.sub(r"[\W_]+", "", field.lower())
