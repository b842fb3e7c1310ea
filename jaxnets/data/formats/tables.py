"""CSV files as data: rows of columns, or windows of consecutive values from which to predict the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from jaxnets.data.formats.columns import read_csv
from jaxnets.data.formats.readers.contents import Problems
from jaxnets.data.source import ArraySource, Dataset
from jaxnets.errors import UserError


@dataclass(frozen=True)
class Scaler:
    """A linear map of values, fitted on training rows only and inverted for plots.

    Attributes:
        offset: The number subtracted first, () or (columns,).
        span: The number divided by afterwards, () or (columns,).
    """

    offset: np.ndarray
    span: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Returns the scaled values."""
        return (values - self.offset) / self.span

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Returns scaled values in their original units."""
        return values * self.span + self.offset


def fit_minmax(rows: np.ndarray) -> Scaler:
    """Returns the map of every column's least value to 0 and greatest to 1; constant columns become 0."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    return Scaler(low, np.where(high > low, high - low, 1.0))


def fit_standard(rows: np.ndarray) -> Scaler:
    """Returns the map of every column to mean 0 and standard deviation 1; constant columns become 0."""
    deviation = rows.std(axis=0)
    return Scaler(rows.mean(axis=0), np.where(deviation > 0, deviation, 1.0))


SCALERS = {"minmax": fit_minmax, "standard": fit_standard}


def windows(series: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns every window of `length` consecutive values, and the value after each.

    Args:
        series: (N,) or (N, columns); with several columns the first is predicted.
        length: Length of a window.

    Returns:
        The windows, (N - length, length, columns), and the next values, (N - length,).

    Raises:
        UserError: If the series is not longer than a window.

    Examples:
        >>> x, y = windows(np.arange(5.0), 3)
        >>> x[:, :, 0].tolist(), y.tolist()
        ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [3.0, 4.0])
    """
    series = series.reshape(len(series), -1)
    if not 0 < length < len(series):
        raise UserError(
            f"windows of {length} need more than {length} values in a row, and there are {len(series)}"
        )
    view = np.lib.stride_tricks.sliding_window_view(series[:-1], length, axis=0)
    return np.ascontiguousarray(view.transpose(0, 2, 1)), series[length:, 0].copy()


def load_series(
    path: str | PathLike,
    columns: Sequence[str] = ("open",),
    *,
    window: int = 60,
    held_out: int = 300,
    scaler: str = "minmax",
    problems: Problems | None = None,
) -> tuple[Dataset, Scaler]:
    """Returns windows over the rows of a CSV file in order of time, and the scaler of its columns.

    Rows are ordered by their dates, if they have any. The last ones are held out, with windows of their own;
    the scaler is fitted on the others. Source: docs/results.md, row D6.

    Args:
        path: Path of the CSV file.
        columns: Columns of every step of a window; the first one is predicted.
        window: Number of steps in a window.
        held_out: Number of rows at the end to hold out.
        scaler: "minmax" or "standard".
        problems: See `read_csv`.

    Raises:
        UserError: If the file is faulty, or has too few rows.
    """
    rows = np.stack(list(read_csv(path, columns, problems, in_time=True).values()), axis=1)
    if not window < held_out < len(rows) - window:
        raise UserError(
            f"{path} has {len(rows)} rows: with windows of {window}, held_out must be {window + 1} to "
            f"{len(rows) - window - 1}, not {held_out}"
        )
    fitted = SCALERS[scaler](rows[:-held_out])
    parts = [
        ArraySource(*windows(fitted.apply(part), window)) for part in (rows[:-held_out], rows[-held_out:])
    ]
    return Dataset(Path(path).stem, *parts), fitted


def load_table(
    path: str | PathLike, inputs: Sequence[str], target: str, *, problems: Problems | None = None
) -> ArraySource:
    """Returns the rows of a CSV file, with some columns as inputs (N, columns) and another as target.

    A target of whole numbers from 0 up becomes labels, any other the target of a regression.
    """
    columns = read_csv(path, (*inputs, target), problems)
    y = columns.pop(target)
    if (y >= 0).all() and (y == np.round(y)).all() and y.max() < len(y):
        y = y.astype(np.int32)
    return ArraySource(np.stack(list(columns.values()), axis=1), y)
