"""Broken files, at random: never a wrong array, always a UserError of one line (a property test)."""

import csv
import gzip
import io
import math
import pickle
import struct
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxnets.data.formats.columns import read_csv
from jaxnets.data.formats.form import find_form
from jaxnets.data.formats.readers import Contents, Problems, read_contents
from jaxnets.data.formats.readers.cifar import parse_python
from jaxnets.data.formats.readers.idx import parse_idx
from jaxnets.errors import UserError
from tests.data.folders import idx, png, tar, zipped

RANDOM = np.random.RandomState(0)
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@st.composite
def damage(draw, content):
    """The content cut off, with bytes changed, left out or put in, one to three times over."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 40))
        some = draw(st.binary(min_size=1, max_size=8))
        content = draw(
            st.sampled_from(
                [
                    content[:at],
                    content[:at] + some + content[at + len(some) :],
                    content[:at] + content[at + length :],
                    content[:at] + some + content[at:],
                ]
            )
        )
    return content


def attempt(read, *arguments):
    """Returns what `read` gives, or None after a UserError of one line."""
    try:
        return read(*arguments)
    except UserError as error:
        text = str(error)
    assert "\n" not in text
    assert len(text) < 600
    return None


IMAGES = RANDOM.randint(0, 256, (5, 4, 3), np.uint8)
LABELS = np.array([0, 1, 2, 1, 0], np.uint8)


@EXAMPLES
@given(damage(idx(IMAGES)))
def test_idx(content):
    array = attempt(parse_idx, content, "broken.idx")
    if array is None:
        return
    # what it holds is exactly what its header says, to the last byte
    dimensions = content[3]
    assert array.shape == struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    assert array.tobytes() == content[4 + 4 * dimensions :]


@EXAMPLES
@given(damage(gzip.compress(idx(IMAGES), mtime=0)))
def test_gzipped_idx(content):
    array = attempt(parse_idx, content, "broken.idx.gz")
    if array is not None:
        np.testing.assert_array_equal(array, IMAGES)  # gzip has a checksum


@EXAMPLES
@given(damage(idx(LABELS)))
def test_labels_of_idx(content):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
        (Path(folder) / "train-labels-idx1-ubyte").write_bytes(content)
        read = attempt(read_labels, Path(folder))
    if read is not None:
        classes, found = read
        assert [label for _, label in found] == list(content[8:])
        assert {label for _, label in found} == set(range(len(classes)))


def read_labels(path):
    contents = read_contents(path, Problems())
    return contents.classes, [(where, label) for where, _, label in contents.splits["train"]()]


BATCH = {b"data": RANDOM.randint(0, 256, (2, 3072), np.uint8), b"labels": [3, 1]}


@EXAMPLES
@given(damage(pickle.dumps(BATCH)))
def test_pickled_cifar(content):
    read = attempt(parse_python, content, "data_batch_1")
    if read is not None:
        images, labels = read
        assert images.shape == (len(labels), 32, 32, 3)
        assert images.dtype == np.uint8


FILES = {f"{name}/{number}.png": png(IMAGES[number]) for name in "ab" for number in range(3)}


def read_all(path):
    contents = read_contents(path, Problems())
    form = find_form(contents, Problems())
    return contents.classes, {
        (where.split()[0], label): form.pixels(where, image)
        for where, image, label in contents.splits["train"]()
    }


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tars(mode):
    whole = tar(FILES, mode)

    @EXAMPLES
    @given(damage(whole))
    def check(content):
        assume(content != whole)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "broken.tar"
            path.write_bytes(content)
            read = attempt(read_all, path)
        if read is None:
            return
        classes, found = read
        # whatever came through, came through whole: names and sums of PNG and tar guard it
        for (where, _), image in found.items():
            assert where in FILES
            np.testing.assert_array_equal(image[..., 0], IMAGES[int(where[2])])
        assert classes == ("a", "b")

    check()


def check_zips(examples):
    whole = zipped(FILES)

    @settings(EXAMPLES, max_examples=examples)
    @given(damage(whole))
    def check(content):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "broken.zip"
            path.write_bytes(content)
            read = attempt(read_all, path)
        if read is None:
            return
        classes, found = read  # nothing is changed, and nothing lost: zip has checksums
        assert classes == ("a", "b")
        assert {(where, label) for where, label in found} == {(name, "ab".index(name[0])) for name in FILES}
        for (where, _), image in found.items():
            np.testing.assert_array_equal(image[..., 0], IMAGES[int(where[2])])

    check()


def test_zips():
    check_zips(100)


@pytest.mark.slow
def test_very_many_zips():
    check_zips(5000)


@pytest.mark.parametrize("encode", [png, jpeg])
def test_images(encode):
    pixels = RANDOM.randint(0, 256, (16, 16, 3), np.uint8)
    whole = encode(pixels)

    @EXAMPLES
    @given(damage(whole))
    def check(content):
        form = find_form(Contents(("a",), {"train": lambda: iter([("x", whole, 0)])}), Problems())
        found = attempt(form.pixels, "x.png", content)
        if found is None:
            return
        assert found.shape == (16, 16, 3)
        if encode is png:
            np.testing.assert_array_equal(found, pixels)

    check()


LINES = ["0.png 0", "1.png 1", "2.png 0", "", "3.png 1"]
FORMS = {
    "words": "\n".join(LINES),
    "commas": "filename,label\n0.png,0\n1.png,1\n2.png,0\n3.png,1\n",
    "label first": "0 0.png\n1 1.png\n0 2.png\n1 3.png\n",
    "arrows": "0.png -> 0\n1.png -> 1\n2.png -> 0\n3.png -> 1\n",
    "names": "ant\t0.png\nbee\t1.png\nant\t2.png\nbee\t3.png\n",
}


def attempt_labels(content):
    """Returns what `read_labels` gives of four images and a label file of this content."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(4):
            (Path(folder) / f"{number}.png").write_bytes(png(IMAGES[number]))
        (Path(folder) / "labels.txt").write_bytes(content)
        return attempt(read_labels, Path(folder))


def check_labels(text, examples):
    @settings(EXAMPLES, max_examples=examples)
    @given(damage(text.encode()))
    def check(content):
        assume(b'"' not in content and b"'" not in content)
        read = attempt_labels(content)
        if read is None:
            return
        classes, found = read
        lines = content.decode(errors="replace").splitlines()
        for where, label in found:  # a label comes from the image's own line
            assert any(classes[label] in line for line in lines if Path(where).stem in line)

    check()


@pytest.mark.parametrize("form", FORMS)
def test_label_files(form):
    check_labels(FORMS[form], 50)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_very_many_label_files(form):
    check_labels(FORMS[form], 1000)


@EXAMPLES
@given(damage("\n".join(LINES).encode()))
def test_label_files_of_words(content):
    """Every line is there, and means what it says."""
    assume(b'"' not in content)
    read = attempt_labels(content)
    if read is None:
        return
    classes, found = read
    lines = [line for line in content.decode().splitlines() if line.strip()]
    expected = [line.replace(",", " ").replace(";", " ").split() for line in lines]
    named = [(Path(where).name, classes[label]) for where, label in found]
    assert named == [  # names may lack their ending
        (name if "." in name else f"{name}.png", str(int(label) if label.isdecimal() else label))
        for name, label in expected
    ]


@EXAMPLES
@given(damage(b"a,open\n1,2.5\n3,-4e2\n5,6\n"))
def test_csv(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.csv"
        path.write_bytes(content)
        read = attempt(read_csv, path, ["open"])
    if read is None:
        return
    assume(b'"' not in content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("gb18030")
    lines = [line for line in text.replace("\r", "\n").split("\n") if line]
    place = [name.strip() for name in lines[0].split(",")].index("open")
    expected = [float(line.split(",")[place]) for line in lines[1:]]
    assert all(map(math.isfinite, expected))
    assert read["open"].tolist() == expected


DATED = b"date,open\n" + b"".join(b"2020-01-%02d,%d.5\n" % (day, day) for day in range(28, 20, -1))


@pytest.mark.slow
@settings(EXAMPLES, max_examples=1000)
@given(damage(DATED))
def test_series(content):
    """Newest first: what is read is in order of its dates, each value that of its line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.csv"
        path.write_bytes(content)
        read = attempt(partial(read_csv, path, ["open"], in_time=True))
    if read is None:
        return
    try:
        lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        dates = [datetime.fromisoformat(line["date"].strip()) for line in lines]
    except (KeyError, ValueError):
        assume(False)  # the dates are damaged, too: what they mean is another question
    rows = sorted(zip(dates, (float(line["open"]) for line in lines), strict=True))
    assert read["open"].tolist() == [value for _, value in rows]
