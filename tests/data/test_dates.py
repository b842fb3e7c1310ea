"""Rows of a table in the order of their dates, whatever wrote them; numbers as exchanges write them."""

import csv
import io
import random
from datetime import datetime, timedelta

import numpy as np
import pytest

from jaxnets.data.formats.columns import number_of, read_csv
from jaxnets.data.formats.readers import Problems
from jaxnets.data.formats.tables import load_series
from jaxnets.errors import UserError

DAYS = [datetime(2019, 11, 20, 15, 30) + timedelta(days=day) for day in range(60)]  # over a new year
FORMATS = {
    "Tushare": ("trade_date", "%Y%m%d"),
    "Alpha Vantage": ("timestamp", "%Y-%m-%d %H:%M:%S"),
    "Investing.com": ("Date", "%b %d, %Y"),
    "Investing.com, American": ("Date", "%m/%d/%Y"),
    "Investing.com, Chinese": ("日期", "%Y年%m月%d日"),
    "Nasdaq": ("Date", "%m/%d/%Y"),
    "German": ("Datum", "%d.%m.%Y"),
    "French": ("Le jour", "%d/%m/%Y"),
    "ISO": ("t", "%Y-%m-%dT%H:%M:%SZ"),
    "American, short": ("Date", "%m/%d/%y"),
    "with names": ("", "%d-%b-%y"),
    "long": ("when", "%A, %B %d, %Y %I:%M %p"),
    "C": ("when", "%a %b %d %H:%M:%S %Y"),
    "baostock": ("date", "%Y-%m-%d"),
    "minutes": ("time", "%Y%m%d%H%M%S"),
    "Unix": ("unix", "%s"),
}


def write(path, header, rows, encoding="utf-8"):
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def table(path, source, order):
    """Prices that are the numbers of their days, with the dates of a source."""
    name, form = FORMATS[source]
    cells = [
        str(int((day - datetime(1970, 1, 1)).total_seconds())) if form == "%s" else day.strftime(form)
        for day in DAYS
    ]
    return write(path, [name, "open", "code"], [[cells[day], day, 600519] for day in order])


@pytest.mark.parametrize("source", FORMATS)
def test_rows_come_in_order_of_time(tmp_path, source):
    right = list(range(60))
    for number, order in enumerate((right, right[::-1], random.Random(0).sample(right, 60))):
        path = table(tmp_path / f"{number}.csv", source, order)
        assert read_csv(path, ["open"], in_time=True)["open"].tolist() == right
        assert read_csv(path, ["open"])["open"].tolist() == order  # a table that is no series


def test_the_newest_rows_are_held_out(tmp_path):
    path = table(tmp_path / "x.csv", "Tushare", range(59, -1, -1))
    series, scaler = load_series(path, window=5, held_out=20)
    np.testing.assert_allclose(scaler.invert(series.test.y), np.arange(45, 60), rtol=1e-6)
    np.testing.assert_allclose(scaler.invert(series.train.x[0, :, 0]), np.arange(5), atol=1e-5)


def test_days_and_times_of_day_in_columns_of_their_own(tmp_path):
    times = [(day, hour) for day in ("2020-01-02", "2020-01-03") for hour in ("9:35", "10:05", "13:00")]
    rows = [[hour, day, number] for number, (day, hour) in enumerate(times)]
    path = write(tmp_path / "x.csv", ["at", "on", "open"], rows[::-1])
    assert read_csv(path, ["open"], in_time=True)["open"].tolist() == list(range(6))
    rows = [[day, int(hour.split(":")[0]), number] for number, (day, hour) in enumerate(times)]
    path = write(tmp_path / "z.csv", ["date", "hour", "open"], rows[::-1])
    assert read_csv(path, ["open"], in_time=True)["open"].tolist() == list(range(6))
    dates = [(2019, 12, 30), (2019, 12, 31), (2020, 1, 2), (2020, 2, 1)]
    rows = [[day, month, year, number] for number, (year, month, day) in enumerate(dates)]
    path = write(tmp_path / "y.csv", ["Day", "Month", "Year", "open"], rows[::-1])
    assert read_csv(path, ["open"], in_time=True)["open"].tolist() == list(range(4))


@pytest.mark.parametrize(
    "header, rows",
    [
        (["open", "n"], [[1, 5], [2, 3], [3, 4]]),  # no dates
        (["open", "date"], [[1, "2010-01-01"]] * 2 + [[3, "2010-01-01"]]),  # that tell nothing
        (["open", "low", "high"], [[2, 1850.05, 1850.12], [1, 1850.01, 1850.12], [3, 1850.07, 1850.11]]),
        (["open", "hour"], [[1, 9], [2, 15], [3, 9], [4, 15]]),
        (["open", "at"], [[1, "9:30"], [2, "15:00"], [3, "9:30"], [4, "15:00"]]),  # of several days
    ],
)
def test_rows_whose_time_nothing_tells_stay_as_they_are(tmp_path, header, rows):
    path = write(tmp_path / "x.csv", header, rows)
    assert read_csv(path, ["open"], in_time=True)["open"].tolist() == [row[0] for row in rows]


@pytest.mark.parametrize(
    "header, rows, message",
    [
        (
            ["date", "open"],
            [["01/02/2020", 1], ["03/01/2020", 2]],
            "column 'date': dates like '01/02/2020' can be",
        ),
        (
            ["date", "open"],
            [["2020-01-02", 1], ["2020-01-32", 2]],
            "line 3, column 'date': '2020-01-32' is not a",
        ),
        (
            ["date", "open"],
            [["2020-01-02", 1], ["", 2], ["2020-01-04", 1]],
            "line 3, column 'date': '' is not a d",
        ),
        (["Date", "open"], [["so", 1], ["what", 2]], "line 2, column 'Date': 'so' is not a date"),
        (
            ["date", "open"],
            [["2020-01-02", 1], ["2020-01-03", 2], ["2020-01-02", 3]],
            "line 4 has the same time as .*line 2, and the rows are in no order of time",
        ),
        (
            ["trade_date", "ts_code", "open"],
            [["20200103", "600519.SH", 1], ["20200103", "000001.SZ", 2], ["20200102", "600519.SH", 1]],
            "and ts_code '600519.SH' instead of '000001.SZ': give a file of one series",
        ),
    ],
)
def test_an_order_that_cannot_be_told_is_refused(tmp_path, header, rows, message):
    path = write(tmp_path / "x.csv", header, rows)
    with pytest.raises(UserError, match=message):
        read_csv(path, ["open"], in_time=True)


def test_a_row_without_a_date_can_be_left_out(tmp_path):
    path = write(tmp_path / "x.csv", ["date", "open"], [["2020-01-04", 3], ["?", 2], ["2020-01-02", 1]])
    problems = Problems(skip=True)
    assert read_csv(path, ["open"], problems, in_time=True)["open"].tolist() == [1, 3]
    assert problems.found == [f"{path}, line 3, column 'date': '?' is not a date"]


@pytest.mark.parametrize(
    "text, number",
    [
        ("1,234.5", 1234.5),
        ("-1,234,567", -1234567),
        ("5%", 0.05),
        ("-0.52 %", -0.0052),
        ("12.3M", 12.3e6),
        ("1,200.5K", 1200500),
        ("3万", 30000),
        ("1.5亿", 1.5e8),
        ("1e3", 1000),
        ("+7", 7),
    ],
)
def test_numbers_as_exchanges_write_them(text, number):
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text", ["1,23", "1.234,5", "12,3456", ",123", "1,234,56", "%", "M", "-", "1 234", "5m", "1%%"]
)
def test_what_could_be_another_number_is_none(text):
    assert np.isnan(number_of(text))


def test_a_file_in_gbk(tmp_path):
    rows = [["2020年1月3日", "1,850.50", "0.5%"], ["2020年1月2日", "1,840.00", "-1.2%"]]
    for encoding in ("utf-8", "utf-8-sig", "gbk"):
        path = write(tmp_path / f"{encoding}.csv", ["日期", "开盘价", "涨跌幅"], rows, encoding)
        columns = read_csv(path, ["开盘价", "涨跌幅"], in_time=True)
        assert columns["开盘价"].tolist() == [1840, 1850.5]
        assert columns["涨跌幅"].tolist() == [-0.012, 0.005]
