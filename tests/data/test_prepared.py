"""Data sets that TFDS made: TFRecord files, downloads, other features."""

import io
import json
import struct
import time

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.data.formats.prepare import download, prepare
from jaxnets.data.formats.prepared import convert
from jaxnets.data.formats.tfrecord import masked_crc32c, read_tfrecord
from jaxnets.errors import UserError
from tests.data.folders import all_of

RANDOM = np.random.RandomState(0)


def tfrecord(records):
    """Length, its checksum (see the test below), bytes, theirs."""
    file = io.BytesIO()
    for record in records:
        length = struct.pack("<Q", len(record))
        for content in (length, record):
            file.write(content + struct.pack("<I", masked_crc32c(content)))
    return file.getvalue()


def test_tfrecord_files_as_tensorflow_writes_them(tmp_path):
    # tf.io.TFRecordWriter, TensorFlow 2.21: the one record b"jaxnets"
    (tmp_path / "x").write_bytes(bytes.fromhex("0700000000000000bbd79f116a61786e6574731d2c401b"))
    assert list(read_tfrecord(tmp_path / "x")) == [b"jaxnets"]


def bit_by_bit(content):
    """The checksum as its definition has it: CRC-32C with the reversed polynomial 0x82F63B78, masked."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_checksums_of_any_length():
    for length in (*range(10), 1023, 1024, 1025, 1027, 1028, 5000):
        content = RANDOM.bytes(length)
        assert masked_crc32c(content) == bit_by_bit(content)


def test_any_changed_byte_of_a_tfrecord_file_is_noticed(tmp_path):
    whole = tfrecord([RANDOM.bytes(30), b"", RANDOM.bytes(5)])
    for place in range(len(whole)):
        (tmp_path / "x").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(UserError, match="x is damaged before byte"):
            list(read_tfrecord(tmp_path / "x"))


def test_a_tfrecord_set_is_refused_with_the_command_that_converts_it(flowers, tmp_path):
    builder, _ = prepare(flowers, "flowers", data_dir=tmp_path)
    expected = all_of(data.load("flowers", data_dir=tmp_path, test="train").train)
    folder = tmp_path / "flowers" / "1.0.0"
    (file,) = folder.glob("*.array_record*")
    records = tfrecord(list(builder.as_data_source("train").data_source))
    old = file.with_name(file.name.replace("array_record", "tfrecord"))
    file.unlink()
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**info, "fileFormat": "tfrecord"}))
    with pytest.raises(UserError, match="python -m jaxnets data convert flowers --data-dir"):
        data.load("flowers", data_dir=tmp_path)
    for broken, message in ((records[:-3], "is cut off"), (b"\1" + records[1:], "is damaged before byte 12")):
        old.write_bytes(broken)
        with pytest.raises(UserError, match=message):
            convert(tmp_path, "flowers")
    old.write_bytes(tfrecord(list(read_tfrecord_bytes(records))[:-1]))
    with pytest.raises(UserError, match="holds 9 examples, not the 10"):
        convert(tmp_path, "flowers")
    old.write_bytes(records)
    assert convert(tmp_path, "flowers") == folder
    found = all_of(data.load("flowers", data_dir=tmp_path, test="train").train)
    np.testing.assert_array_equal(found["x"], expected["x"])
    np.testing.assert_array_equal(found["y"], expected["y"])
    with pytest.raises(UserError, match="no data set roses is prepared in"):
        convert(tmp_path, "roses")


def read_tfrecord_bytes(content):
    at = 0
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        yield content[at + 12 : at + 12 + size]
        at += 16 + size


def test_what_tfds_would_have_to_download_is_refused_at_once(tmp_path, monkeypatch):
    start = time.monotonic()
    with pytest.raises(
        UserError, match=r"'mnist' is not prepared yet.*needs TensorFlow once: .* -m pip install"
    ):
        data.load("mnist", data_dir=tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr("jaxnets.data.formats.prepare.TFDS_HOST", ("localhost", 9))

    class Builder:
        data_dir = "there"
        info = type("Info", (), {"name": "mnist"})

    with pytest.raises(UserError, match="no network to download it: connect and run again, or put its"):
        download(Builder())
    assert time.monotonic() - start < 30


def test_sets_of_other_features(tmp_path):
    """A set that TFDS made: images, two kinds of numbers, and a box."""
    import tensorflow_datasets as tfds

    images = RANDOM.randint(0, 256, (4, 5, 6, 1), np.uint8)

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = "made"
        VERSION = tfds.core.Version("2.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(5, 6, 1)),
                "numbers": tfds.features.Tensor(shape=(3,), dtype=np.float32),
                "slow": tfds.features.Tensor(shape=(2,), dtype=np.float64),
                "box": tfds.features.BBoxFeature(),
                "label": tfds.features.ClassLabel(names=["a", "b"]),
            }
            keys = (PART, "label")
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=keys
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(4):
                file = io.BytesIO()
                Image.fromarray(images[number, ..., 0]).save(file, "PNG")
                box = tfds.features.BBox(ymin=0.0, xmin=0.25, ymax=number / 4, xmax=1.0)
                yield (
                    number,
                    {
                        "image": file.getvalue(),
                        "numbers": np.full(3, number + 0.5, np.float32),
                        "slow": np.full(2, number / 3),
                        "box": box,
                        "label": number % 2,
                    },
                )

    tfds.display_progress_bar(False)
    for PART in ("image", "numbers", "slow"):
        root = tmp_path / PART
        Made(data_dir=str(root), file_format="array_record").download_and_prepare()
        source = data.load("made", data_dir=root, test="train", boxes="box").train
        found = all_of(source)
        number = np.round(4 * found["boxes"][:, 2]).astype(int)
        assert sorted(number) == [0, 1, 2, 3]
        np.testing.assert_array_equal(found["boxes"][:, [0, 1, 3]], [[0, 0.25, 1]] * 4)
        assert found["y"].tolist() == (number % 2).tolist()
        expected = {"image": images[number], "numbers": (number + 0.5)[:, None] * np.ones(3, np.float32)}
        expected["slow"] = (number / 3)[:, None] * np.ones(2)
        np.testing.assert_allclose(found["x"], expected[PART], rtol=1e-6)
        assert found["x"].dtype == source.features.dtype
        assert source.features.dtype == ("uint8" if PART == "image" else "float32")
