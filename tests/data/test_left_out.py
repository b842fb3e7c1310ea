"""What is not in the prepared data set is said; what would make it another one is refused."""

import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image, features

from jaxnets import data
from jaxnets.data.formats.images import open_image
from jaxnets.data.formats.kinds import FORMATS
from jaxnets.data.formats.prepare import prepare
from jaxnets.errors import UserError
from tests.data.folders import all_of, numbered, write
from tests.data.readers.test_readers import idx

IMAGES = {f"{name}/{number}.png": numbered(number) for number, name in enumerate("aabb")}


def saved(kind, **options):
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 200, np.uint8)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "ending, kind",
    {
        "jfif": "JPEG",
        "jpe": "JPEG",
        "JPG": "JPEG",
        "pnm": "PPM",
        "pbm": "PPM",
        "dib": "BMP",
        "apng": "PNG",
        "tiff": "TIFF",
        "webp": "WEBP",
        "jp2": "JPEG2000",
        "avif": "AVIF",
    }.items(),
)
def test_pictures_of_every_kind_that_pillow_reads(tmp_path, ending, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    write(tmp_path / "p", {f"{name}/1.{ending}": saved(kind) for name in "ab"})
    _, problems = prepare(tmp_path / "p", "p", data_dir=tmp_path)
    assert problems.found == problems.unused == []
    source = data.load("p", data_dir=tmp_path, train="train", test="train").train
    np.testing.assert_allclose(all_of(source)["x"].astype(int), 200, atol=8)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "x is empty: use PNG or JPEG"),
        (b"\0\0\0\x18ftypheic\0\0", "x is HEIC, which cannot be read: convert it"),
        (b"\0\0\0\x18ftypmif1\0\0", "x is HEIC, which"),
        (b"\0\0\0\x18ftypisom\0\0", "x is a film, which"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "x is JPEG XL, which"),
        (b"%PDF-1.7", "x is a PDF, which"),
        (b"<!DOCTYPE html><html>404", "x is a web page, which"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "x is a pointer of Git LFS and not the file itself, which",
        ),
        (b"nonsense", "x: not an image that can be read; use PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\n", "x: not an image"),
    ],
)
def test_what_is_no_image_is_said_in_words(tmp_path, content, message):
    (tmp_path / "x.jpg").write_bytes(content)
    for file in (io.BytesIO(content), tmp_path / "x.jpg"):
        with pytest.raises(UserError) as error:
            open_image(file, "x")
        assert str(error.value).startswith(message)
        assert "BytesIO" not in str(error.value)


def test_an_older_pillow_without_avif(monkeypatch):
    known = {name: opener for name, opener in Image.OPEN.items() if name != "AVIF"}
    monkeypatch.setattr(Image, "OPEN", known)
    assert FORMATS[-1] == "AVIF"
    assert open_image(io.BytesIO(saved("PNG")), "x").size == (16, 16)
    with pytest.raises(UserError, match="x is AVIF, which cannot be read"):
        open_image(io.BytesIO(b"\0\0\0\x18ftypavif\0\0"), "x")


@pytest.mark.parametrize("damaged", ["test/a", "test/b"])
def test_skipping_what_empties_a_split_or_a_class_is_refused(tmp_path, damaged):
    images = {f"{split}/{name}": image for split in ("train", "test") for name, image in IMAGES.items()}
    write(tmp_path / "p", images)
    write(tmp_path / "p", {name: numbered(1, side=3) for name in images if name.startswith(damaged)})
    _, problems = prepare(tmp_path / "p", "one_class_less", data_dir=tmp_path, skip_errors=True)
    assert len(problems.found) == 2  # a class may be missing among the held-out ones
    write(tmp_path / "p", {name: numbered(1, side=3) for name in images if name.startswith("test/")})
    with pytest.raises(
        UserError, match=r"nothing of test is left, since .*: .*png is 3 x 3 and the first image 2 x 2"
    ):
        prepare(tmp_path / "p", "empty", data_dir=tmp_path, skip_errors=True)
    write(tmp_path / "p", images)
    write(tmp_path / "p", {name: b"" for name in images if name.startswith("train/b")})
    with pytest.raises(UserError, match=r"nothing of train, class b, is left, since .*png is empty"):
        prepare(tmp_path / "p", "empty", data_dir=tmp_path, skip_errors=True)
    assert not (tmp_path / "empty" / "1.0.0").exists()


BATCH = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]})
CIFAR = dict.fromkeys(["test_batch", *(f"data_batch_{number}" for number in range(1, 6))], BATCH)


@pytest.mark.parametrize("missing", CIFAR)
def test_a_missing_batch_of_cifar_is_named(tmp_path, missing):
    write(tmp_path / "c", {name: batch for name, batch in CIFAR.items() if name != missing})
    with pytest.raises(UserError, match=f"lacks {missing} of CIFAR"):
        prepare(tmp_path / "c", "c", data_dir=tmp_path)
    builder, problems = prepare(tmp_path / "c", "c", data_dir=tmp_path, skip_errors=True)
    assert sum(split.num_examples for split in builder.info.splits.values()) == 10
    assert len(problems.found) == 1


def test_batches_of_cifar_that_are_there_twice_or_of_the_other_cifar(tmp_path):
    binary = bytes(3073)
    with pytest.raises(
        UserError, match=r"data_batch_1\.bin and .*data_batch_1 are both data_batch_1: keep one"
    ):
        prepare(write(tmp_path / "a", {**CIFAR, "data_batch_1.bin": binary}), "c", data_dir=tmp_path)
    with pytest.raises(UserError, match=r"holds train beside batches of another CIFAR"):
        prepare(write(tmp_path / "b", {**CIFAR, "train.bin": bytes(3074)}), "c", data_dir=tmp_path)
    with pytest.raises(UserError, match=r"lacks test of CIFAR"):
        prepare(write(tmp_path / "d", {"train.bin": bytes(3074)}), "c", data_dir=tmp_path)


def test_idx_labels_that_start_at_one(tmp_path):
    """As EMNIST's letters."""
    labels = np.array([1, 2, 3, 1], np.uint8)
    images = np.arange(4 * 4, dtype=np.uint8).reshape(4, 2, 2)
    write(tmp_path / "e", {"train-images-idx3-ubyte": idx(images), "train-labels-idx1-ubyte": idx(labels)})
    for classes in (None, ["x", "y", "z"], ["w", "x", "y", "z"]):
        with pytest.raises(UserError, match="the labels run from 1 to 3: give --first-label 1, or 0 if"):
            prepare(tmp_path / "e", "e", data_dir=tmp_path, classes=classes, skip_errors=True)
    prepare(tmp_path / "e", "e", data_dir=tmp_path, first_label=1)
    assert data.load("e", data_dir=tmp_path).features.classes == ("1", "2", "3")
    prepare(tmp_path / "e", "f", data_dir=tmp_path, first_label=1, classes=["x", "y", "z"])
    source = data.load("f", data_dir=tmp_path, train="train", test="train").train
    found = {
        int(image[0, 0, 0]): source.features.classes[label]
        for image, label in zip(*all_of(source).values(), strict=True)
    }
    assert found == {0: "x", 4: "y", 8: "z", 12: "x"}
    with pytest.raises(UserError, match="the names given have the class 'x' 2 times"):
        prepare(tmp_path / "e", "g", data_dir=tmp_path, first_label=1, classes=["x", "x", "z"])
    for first in (-1, 10**30, -(10**30)):
        with pytest.raises(UserError, match=r"the first label .*: it must be 0 to 99999"):
            prepare(tmp_path / "e", "g", data_dir=tmp_path, first_label=first)
    with pytest.raises(UserError, match="the first label 1: the classes of folders are names; leave it out"):
        prepare(write(tmp_path / "p", IMAGES), "p", data_dir=tmp_path, first_label=1)


def test_data_folders_that_cannot_be_used(tmp_path, monkeypatch):
    write(tmp_path / "p", IMAGES)
    (tmp_path / "file").write_text("")
    for folder, message in (
        (tmp_path / "file", "the data folder .*file is a file: choose a folder"),
        (tmp_path / "file" / "below", "the data folder .*below cannot be used .*: choose another"),
        (tmp_path / ("x" * 300), "the data folder .*x cannot be used"),
        ("/proc/nothing", "cannot write /proc/nothing"),
        ("no\0folder", "the data folder .* cannot be used"),
        ("~nobody-of-this-name/data", "the data folder ~nobody-of-this-name/data cannot be used"),
    ):
        with pytest.raises(UserError, match=message):
            prepare(tmp_path / "p", "p", data_dir=folder)
        monkeypatch.setenv("TFDS_DATA_DIR", str(folder).replace("\0", ""))
    with pytest.raises(UserError, match="a letter first, 100 at most"):
        prepare(tmp_path / "p", "x" * 300, data_dir=tmp_path)
    with pytest.raises(UserError, match="digits is the name of an embedded data set: choose another"):
        prepare(tmp_path / "p", "digits", data_dir=tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_classes_and_images_of_any_name_from_the_command_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "root"))
    names = {
        os.fsdecode(f"{name}/猫{n}.png".encode("gbk")): numbered(n) for n, name in enumerate(["狗", "猫"] * 2)
    }
    write(tmp_path / "p", {**names, "a\nb.txt": b"", "notes.txt": b""})
    code, _, err = run("data", "prepare", tmp_path / "p", "--name", "p")
    assert (code, err.count("\n")) == (2, 1)
    assert "is not in UTF-8: give the encoding, such as --encoding gbk" in err
    code, out, _ = run("data", "prepare", tmp_path / "p", "--name", "p", "--encoding", "gbk")
    assert code == 0
    assert out.startswith("not used: 2 files (2 .txt)\np: 4 train\nprepared in ")
    code, out, _ = run("data", "show", "p", "--picture", tmp_path / "x.png")
    assert (code, [line.split()[0] for line in out.splitlines()[1:3]]) == (0, ["狗", "猫"])


@pytest.mark.parametrize("name", ["digits", "iris", "mnist", "tf_flowers", "cifar10"])
def test_names_of_other_data_sets_are_taken(run, tmp_path, name):
    code, _, err = run(
        "data", "prepare", write(tmp_path / "p", IMAGES), "--name", name, "--data-dir", tmp_path
    )
    assert code == 2
    assert err.startswith(f"error: {name} is the name of ")
    assert err.count("\n") == 1
    assert not (tmp_path / name).exists()
