"""CSV files: their rows as text, and the numbers of some of their columns."""

import csv
import io
import math
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from jaxnets.data.formats.dates import Row, by_time
from jaxnets.data.formats.readers.contents import Problems
from jaxnets.errors import UserError, reason
from jaxnets.files import bounded_lines

THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
POWERS = {"%": "e-2", "％": "e-2", "K": "e3", "M": "e6", "B": "e9", "T": "e12", "万": "e4", "亿": "e8"}


def read_csv(
    path: str | PathLike, columns: Sequence[str], problems: Problems | None = None, *, in_time: bool = False
) -> dict[str, np.ndarray]:
    """Reads columns of numbers from a CSV file whose first line names its columns.

    Numbers may have commas between thousands, a percent sign (5% is 0.05), or a unit as exchanges write it
    (1.5M, 3万). The standard library reads the file, not pandas, so that messages can name a number's line.

    Args:
        path: Path of the file, in UTF-8 or GBK.
        columns: Names of the columns.
        problems: What to do about a faulty line: `Problems(skip=True)` notes it and leaves it out.
        in_time: Whether to order the rows by their dates, the earliest first; see `by_time`.

    Returns:
        The values of every column by name, float64 (rows,).

    Raises:
        UserError: If there is no such file or column, it is not a CSV file, or (unless skipped) a value is
            missing or not a finite number; the message names the line and column.
    """
    problems, rows = problems or Problems(), list[Row]()
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise UserError(f"{path} is no file: give a CSV file")
        text = io.StringIO(_text(Path(path).read_bytes()), newline="")
        lines = csv.reader(bounded_lines(text, str(path)), strict=True)
        header = [name.strip() for name in next(lines, [])]
        unknown = [name for name in columns if header.count(name) != 1]
        if unknown:
            raise UserError(
                f"{path} needs exactly one column {unknown[0]!r}; it has {', '.join(map(repr, header))}"
            )
        places = [header.index(name) for name in columns]
        for cells in filter(None, lines):
            where = f"{path}, line {lines.line_num}"
            values = _numbers(where, cells, header, places, problems)
            if values is not None:
                rows.append((where, cells if in_time else [], values))
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read as CSV in UTF-8 or GBK ({reason(error)}): save it in that format"
        ) from error
    if in_time:
        rows = by_time(path, header, rows, columns, problems)
    if not rows:
        raise UserError(f"{path} holds no line of numbers below its first line")
    return dict(zip(columns, np.array([values for _, _, values in rows]).T, strict=True))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030")  # with all characters of GBK


def _numbers(
    where: str, cells: Sequence[str], header: Sequence[str], places: Sequence[int], problems: Problems
) -> list[float] | None:
    if len(cells) != len(header):
        problems(f"{where}: {len(cells)} values, and the first line names {len(header)} columns")
        return None
    values = []
    for place in places:
        text = cells[place].strip()
        values.append(number_of(text))
        if not math.isfinite(values[-1]):
            found = f"{text[:40]!r} is not a finite number" if text else "the value is missing"
            problems(f"{where}, column {header[place]!r}: {found}")
            return None
    return values


def number_of(text: str) -> float:
    """Returns the number that a cell holds; nan if it holds none.

    Examples:
        >>> number_of("1,234.5"), number_of("-0.5%"), number_of("12.3M"), number_of("1,23")
        (1234.5, -0.005, 12300000.0, nan)
    """
    power = POWERS.get(text[-1:], "")
    if power:
        text = text[:-1].rstrip()
    if THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        return float(text + power)
    except ValueError:
        return math.nan
