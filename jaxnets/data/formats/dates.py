"""The order in time of a table's rows, from its columns of dates and times, whatever those are called."""

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from jaxnets.data.formats.readers.contents import Problems
from jaxnets.errors import UserError

Row = tuple[str, list[str], list[float]]  # its place in words, its cells, and the numbers that are wanted
Time = tuple[float, ...]  # year, month, day and what else is given; or one number, such as a Unix time

NAMED = re.compile(r"(?<![a-z])(date|time|datetime|timestamp|unix)(?![a-z])|日期|时间|交易日")
SERIES = re.compile(r"(?<![a-z])(code|symbol|ticker)(?![a-z])|代码")
CALENDAR = ("year", "month", "day", "hour", "minute", "second")  # as columns of their own
PARTS = re.compile(r"\d+|[a-z]+")
OF_DAY = re.compile(r"\s*\d{1,2}:\d")
DIGITS = re.compile(r"\d+")
DAY = r"(\d{4})(\d\d)(\d\d)"
COMPACT = {8: DAY, 12: DAY + r"(\d\d)" * 2, 14: DAY + r"(\d\d)" * 3}  # 20191231, with a time of day
NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october")
NUMBERED = enumerate((*NAMES, "november", "december"), 1)
MONTHS = {short: number for number, name in NUMBERED for short in (name, name[:3], name[:4])}
ORDERS = ("ymd", "mdy", "dmy")
SAMPLE = 50  # rows that tell whether a column is one of dates
DATES, HOURS, TIMES_OF_DAY = 0, 4, 7  # ranks; between them are those of CALENDAR


@dataclass(frozen=True)
class Column:
    """A column of dates or times.

    Attributes:
        rank: DATES, the place in CALENDAR plus one, or TIMES_OF_DAY: the order in which columns count.
        place: Its place in a row.
        times: The time of every row; None where it cannot be read.
        clear: Whether there is only one way to read it.
    """

    rank: int
    place: int
    times: list[Time | None]
    clear: bool = True


def by_time(
    path: object, header: Sequence[str], rows: Sequence[Row], values: Sequence[str], problems: Problems
) -> list[Row]:
    """Returns the rows of a table with the earliest first; as they are, if no column tells their time.

    Rows in order of time stay as they are, rows in the opposite order are turned round, others are sorted.

    Args:
        path: The file, for messages.
        header: Names of the columns.
        rows: The rows.
        values: Names of the columns that hold values.
        problems: What to do about a row whose time cannot be read.

    Raises:
        UserError: If the order cannot be told: dates that can be read in two ways, rows in no order of which
            two have the same time, several series in one file.
    """
    columns = _columns(header, rows, values)
    dates = [column for column in columns if column.rank == DATES]
    # The first column of dates counts, unless another one is in better shape.
    main = min(dates, key=lambda column: (column.times.count(None), not column.clear), default=None)
    if main is not None and None in main.times:
        for (where, cells, _), time in zip(rows, main.times, strict=True):
            if time is None:
                problems(f"{where}, column {header[main.place]!r}: {cells[main.place][:40]!r} is not a date")
        kept = [row for row, time in zip(rows, main.times, strict=True) if time is not None]
        return by_time(path, header, kept, values, problems)
    if main is not None and not main.clear:
        raise UserError(
            f"{path}, column {header[main.place]!r}: dates like {rows[0][1][main.place]!r} can be read in "
            "more than one way: write the year first, with four digits"
        )
    rest = sorted((column for column in columns if column.rank != DATES), key=lambda column: column.rank)
    counted = [column.times for column in ([main] if main else []) + rest if None not in column.times]
    keys = list(zip(*counted, strict=True))
    numbers = range(len(rows))
    if all(earlier <= later for earlier, later in pairwise(keys)):
        ordered, sort = [*numbers], False
    elif all(earlier >= later for earlier, later in pairwise(keys)):
        ordered, sort = [*reversed(numbers)], False
    elif all(column.rank >= HOURS for column in columns):  # of several days, which nothing tells apart
        return list(rows)
    else:
        ordered, sort = sorted(numbers, key=keys.__getitem__), True
    for one, next_one in pairwise(ordered if keys else []):
        if keys[one] == keys[next_one]:
            _check_repeated(header, rows[one], rows[next_one], sort)
    return [rows[number] for number in ordered]


def _check_repeated(header: Sequence[str], one: Row, other: Row, sort: bool) -> None:
    """Checks that two rows of the same time can be of one series, in an order that is known."""
    for name, here, there in zip(header, one[1], other[1], strict=True):
        if SERIES.search(name.lower()) and here != there:
            raise UserError(
                f"{other[0]} has the same time as {one[0]}, and {name} {there!r} instead of {here!r}: give a "
                "file of one series"
            )
    if sort:
        raise UserError(
            f"{other[0]} has the same time as {one[0]}, and the rows are in no order of time: sort them, or "
            "give a file of one series"
        )


def _columns(header: Sequence[str], rows: Sequence[Row], values: Sequence[str]) -> list[Column]:
    """Returns the columns of dates and times, by their names or by most of their first cells."""
    found, names = [], [name.lower() for name in header]
    for place, name in enumerate(names):
        cells = [row[place].strip() for _, row, _ in rows]
        sample, named = cells[:SAMPLE], NAMED.search(name) is not None
        if header[place] in values:
            continue
        if name in CALENDAR and ("year" in names or CALENDAR.index(name) + 1 >= HOURS):
            times = [_number(cell) or _number(str(MONTHS.get(cell.lower()))) for cell in cells]
            found.append(Column(1 + CALENDAR.index(name), place, times))
        elif _most(OF_DAY.match(cell) for cell in sample):
            times = [_of_day(cell, digits) if (digits := DIGITS.findall(cell)) else None for cell in cells]
            found.append(Column(TIMES_OF_DAY, place, times))
        elif named or _most(_number(cell) is None and _any_date(cell) for cell in sample):
            found.append(Column(DATES, place, *_dates(cells, named)))
    return found


def _most(found: Iterable[Any]) -> bool:
    hits = [bool(one) for one in found]
    return sum(hits) > len(hits) / 2


def _dates(cells: Sequence[str], numbers: bool) -> tuple[list[Time | None], bool]:
    """Returns dates as most of them can be read, or else numbers, and whether all readings give one order."""
    likely = [order for order in ORDERS if any(_date(cell, order) for cell in cells[:SAMPLE])]
    readings: list[list[Time | None]] = [
        [_date(cell, order) for cell in cells] for order in likely or ([] if numbers else ORDERS)
    ]
    if numbers:
        readings.append([_number(cell) for cell in cells])
    fewest = min(reading.count(None) for reading in readings)
    best = [reading for reading in readings if reading.count(None) == fewest]
    # Where a cell has no time, its row is a problem first; without it the column is read again.
    orders = {tuple(_order(reading)) for reading in best} if not fewest else ()
    return best[0], len(orders) < 2


def _order(times: Sequence[Any]) -> list[int]:
    return sorted(range(len(times)), key=times.__getitem__)


def _any_date(text: str) -> bool:
    return any(_date(text, order) for order in ORDERS)


def _date(text: str, order: str) -> Time | None:
    """Returns a date, and the time of day that follows it; None if the text is no date in this order."""
    parts = PARTS.findall(text.lower())
    months, numbers = [MONTHS[part] for part in parts if part in MONTHS], [*filter(str.isdigit, parts)]
    if numbers and len(numbers[0]) in COMPACT:
        numbers[:1] = re.findall(COMPACT[len(numbers[0])], numbers[0])[0]
    if months:  # it has a name, so the order is plain: the year has four digits, or follows the day
        at = next((place for place, number in enumerate(numbers) if len(number) == 4), 1)
        year = numbers.pop(at) if at < len(numbers) else ""
        order, numbers = "ymd", [year, str(months[0]), *(numbers or ["1"])]
    elif len(numbers) == 2 and 4 in map(len, numbers):  # a year and a month, in either order
        order, numbers = "ymd", [*sorted(numbers, key=len, reverse=True), "1"]
    given = dict(zip(order, numbers, strict=False))
    if len(given) < 3 or len(given["y"]) not in (2, 4) or max(len(given["m"]), len(given["d"])) > 2:
        return None
    year, month, day = (int(given[part]) for part in "ymd")
    if len(given["y"]) == 2:
        year += 2000 if year < 70 else 1900
    try:
        date(year, month, day)
    except ValueError:
        return None
    return (year, month, day, *_of_day(text, numbers[3:]))


def _of_day(text: str, numbers: Sequence[str]) -> Time:
    """Returns the numbers of a time of day, the hours of the afternoon from 12 on."""
    hour, *rest = map(float, numbers or ["0"])
    half = re.search(r"(?<![a-z])[ap]m(?![a-z])|上午|下午", text.lower())
    if half:
        hour = hour % 12 + (12 if half[0] in ("pm", "下午") else 0)
    return (hour, *rest)


def _number(text: str) -> Time | None:
    with suppress(ValueError):
        if math.isfinite(number := float(text)):
            return (number,)
    return None
