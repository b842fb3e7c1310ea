"""CSV columns, windows and scalers, beside scikit-learn and the document's own loop."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from jaxnets.data.formats.readers import Problems
from jaxnets.data.formats.tables import fit_minmax, fit_standard, load_series, load_table, read_csv, windows
from jaxnets.errors import UserError


@pytest.fixture
def stock(tmp_path):
    opens = 100 + np.random.RandomState(0).randn(500).cumsum()
    lines = [f"{row},2010-04-26,{value!r},{row}" for row, value in enumerate(opens.tolist())]
    path = tmp_path / "stock.csv"
    path.write_text("\n".join([",date,open,volume", *lines]) + "\n")
    return path, opens


def test_columns_by_name(stock):
    path, opens = stock
    columns = read_csv(path, ["open", "volume"])
    np.testing.assert_array_equal(columns["open"], opens)
    np.testing.assert_array_equal(columns["volume"], np.arange(500))


def test_windows_are_those_of_the_documents_loop(stock):
    # chapter 6: x_train.append(scaled[i - 60:i, 0]); y_train.append(scaled[i, 0]) for i in range(60, len)
    path, opens = stock
    data, scaler = load_series(path, ["open"], window=60, held_out=100)
    reference = MinMaxScaler(feature_range=(0, 1))
    training = reference.fit_transform(opens[:-100, None])
    held_out = reference.transform(opens[-100:, None])
    for source, scaled in ((data.train, training), (data.test, held_out)):
        assert len(source) == len(scaled) - 60
        x = np.array([scaled[i - 60 : i] for i in range(60, len(scaled))])
        np.testing.assert_allclose(source.x, x, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(source.y, scaled[60:, 0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scaler.invert(data.test.y), opens[-40:], rtol=1e-6)


@pytest.mark.parametrize("fit, reference", [(fit_minmax, MinMaxScaler()), (fit_standard, StandardScaler())])
def test_scalers_are_those_of_scikit_learn(fit, reference):
    rows = np.random.RandomState(0).randn(50, 3) * [1, 10, 0] + [5, -2, 3]
    scaler, other = fit(rows[:30]), rows[30:] + 1
    reference.fit(rows[:30])
    np.testing.assert_allclose(scaler.apply(other), reference.transform(other), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scaler.invert(scaler.apply(other)), other, rtol=1e-12)


def test_windows_of_several_columns_predict_the_first():
    series = np.stack([np.arange(6.0), 10 * np.arange(6.0)], axis=1)
    x, y = windows(series, 2)
    assert x.shape == (4, 2, 2)
    assert x[1].tolist() == [[1, 10], [2, 20]]
    assert y.tolist() == [2, 3, 4, 5]


def test_a_table_of_points_and_labels(tmp_path):
    (tmp_path / "dot.csv").write_text("x1,x2,y_c\n-0.5,1.25,1\n2,3,0\n")
    source = load_table(tmp_path / "dot.csv", ["x1", "x2"], "y_c")
    assert source.x.tolist() == [[-0.5, 1.25], [2, 3]]
    assert source.y.tolist() == [1, 0]
    assert source.features.classes == ("0", "1")
    numbers = load_table(tmp_path / "dot.csv", ["x1", "y_c"], "x2")
    assert numbers.y.dtype == np.float32
    assert numbers.features.classes == ()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "needs exactly one column 'open'"),
        ("a,b\n1,2\n", "needs exactly one column 'open'; it has 'a', 'b'"),
        ("open,open\n1,2\n", "needs exactly one column 'open'"),
        ("open,b\n", "holds no line of numbers"),
        ("open,b\n1,2\n,3\n", r"stock\.csv, line 3, column 'open': the value is missing"),
        ("open,b\n1,2\n\n1.5x,3\n", r"line 4, column 'open': '1\.5x' is not a finite number"),
        ("open,b\nnan,2\n", "line 2, column 'open': 'nan' is not a finite number"),
        ("open,b\n1e999,2\n", "line 2, column 'open': '1e999' is not a finite number"),
        ("open,b\n1,2\n1,2,3\n", "line 3: 3 values, and the first line names 2 columns"),
        ('open,b\n1,"2\n', "cannot be read as CSV"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, message):
    (tmp_path / "stock.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_csv(tmp_path / "stock.csv", ["open"])


def test_lines_that_are_wrong_can_be_left_out(tmp_path):
    (tmp_path / "stock.csv").write_text('open,b\n1,2\n,3\n"4\n5",3\n6,7\n8\n')
    problems = Problems(skip=True)
    assert read_csv(tmp_path / "stock.csv", ["open"], problems)["open"].tolist() == [1, 6]
    assert [message.split(", ")[1].split(":")[0] for message in problems.found] == [
        "line 3",
        "line 5",
        "line 7",
    ]


def test_not_text_missing_and_too_short(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"open\n\xff\n")
    with pytest.raises(UserError, match="cannot be read as CSV in UTF-8"):
        read_csv(tmp_path / "x.csv", ["open"])
    with pytest.raises(UserError, match="there is no such file"):
        read_csv(tmp_path / "y.csv", ["open"])
    (tmp_path / "x.csv").write_text("open\n" + "1\n" * 20)
    with pytest.raises(UserError, match="has 20 rows: with windows of 5, held_out must be 6 to 14, not 15"):
        load_series(tmp_path / "x.csv", window=5, held_out=15)
    with pytest.raises(UserError, match="more than 5 values in a row, and there are 5"):
        windows(np.zeros(5), 5)
