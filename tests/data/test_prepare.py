"""Data sets made of what is on disk: real TFDS data sets, whole or not there at all, without TensorFlow."""

import io
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from jaxnets import data
from jaxnets.data.formats.images import decode
from jaxnets.data.formats.prepare import prepare
from jaxnets.data.formats.prepared import list_prepared
from jaxnets.errors import UserError
from tests.data.folders import all_of, save

RANDOM = np.random.RandomState(0)


def test_a_folder_becomes_a_data_set_of_tfds(flowers, tmp_path):
    import tensorflow_datasets as tfds

    _, problems = prepare(flowers, "flowers", data_dir=tmp_path / "root")
    assert problems.found == problems.unused == []
    builder = tfds.builder("flowers", data_dir=str(tmp_path / "root"))
    assert builder.info.splits["train"].num_examples == 10
    assert builder.info.supervised_keys == ("image", "label")
    records = list(builder.as_data_source("train"))
    assert sorted(int(record["image"][0, 0, 0]) for record in records) == list(range(10))
    assert all(record["label"] == record["image"][0, 0, 0] % 2 for record in records)
    assert "tensorflow" not in sys.modules
    held = data.load("flowers", data_dir=tmp_path / "root")
    assert held.features == data.Features((6, 5, 3), "uint8", ("daisy", "rose"))
    assert (len(held.train), len(held.test)) == (8, 2)
    numbers = np.concatenate([all_of(part)["x"][:, 0, 0, 0] for part in (held.train, held.test)])
    assert sorted(numbers) == list(range(10))
    one = held.train[3]
    np.testing.assert_array_equal(one["x"], all_of(held.train)["x"][3])
    assert one["y"] == one["x"][0, 0, 0] % 2


def test_splits_versions_and_wrong_names(flowers, tmp_path):
    root = tmp_path / "root"
    prepare(flowers, "flowers", data_dir=root)
    held = data.load("flowers:1.0.0", data_dir=root, train="train[10%:50%]", test="train[50%:]")
    assert (len(held.train), len(held.test)) == (4, 5)
    with pytest.raises(UserError, match="flowers has no split 'tset', only train"):
        data.load("flowers", data_dir=root, test="tset")
    with pytest.raises(UserError, match="flowers has no bounding box 'box', only image, label"):
        data.load("flowers", data_dir=root, boxes="box")
    with pytest.raises(UserError, match=r"did you mean flowers\?"):
        data.load("flower", data_dir=root)
    with pytest.raises(UserError, match="flowers is already prepared in"):
        prepare(flowers, "flowers", data_dir=root)
    for name in ("Flowers", "1a", "a-b", ""):
        with pytest.raises(UserError, match="use lowercase letters"):
            prepare(flowers, name, data_dir=root)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_a_prepared_set(flowers, tmp_path, workers):
    prepare(flowers, "flowers", data_dir=tmp_path)
    train = data.load("flowers", data_dir=tmp_path).train
    whole = all_of(train)
    for batch in data.Batches(train, 3, seed=0, workers=workers).epoch(1):
        np.testing.assert_array_equal(batch["x"], whole["x"][batch["index"]])
        np.testing.assert_array_equal(batch["y"], whole["y"][batch["index"]])


def test_large_images_keep_their_bytes(tmp_path):
    y, x = np.mgrid[:80, :70]
    pixels = np.stack([3 * y, 2 * x, x + y], axis=-1).astype(np.uint8)
    plain = save(tmp_path, "photos/a/plain.jpg", pixels, quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    save(tmp_path, "photos/a/turned.jpg", np.rot90(pixels), quality=90, exif=exif)
    save(tmp_path, "photos/b/clear.png", np.dstack([pixels, np.full((80, 70), 255, np.uint8)]))
    builder, _ = prepare(tmp_path / "photos", "photos", data_dir=tmp_path / "root")
    raw = list(builder.as_data_source("train").data_source)
    assert sum(plain.read_bytes() in record for record in raw) == 1
    held = data.load("photos", data_dir=tmp_path / "root", train="train", test="train")
    images = all_of(held.train)["x"]
    assert images.shape == (3, 80, 70, 3)
    expected = np.asarray(Image.open(plain))
    assert sorted(np.abs(image.astype(int) - expected).mean() < 6 for image in images) == [True] * 3
    assert sum(np.array_equal(image, expected) for image in images) == 1
    assert sum(np.array_equal(image, pixels) for image in images) == 1  # the PNG, its alpha left out


def test_small_images_keep_their_bytes_when_asked(tmp_path):
    paths = [save(tmp_path, f"p/{name}/1.jpg", RANDOM.randint(0, 256, (8, 8), np.uint8)) for name in "ab"]
    builder, _ = prepare(tmp_path / "p", "p", data_dir=tmp_path, store="files")
    records = builder.as_data_source("train").data_source
    assert all(any(path.read_bytes() in records[row] for row in range(2)) for path in paths)
    source = data.load("p", data_dir=tmp_path, train="train", test="train").train
    for row in range(2):
        expected = np.asarray(Image.open(paths[source[row]["y"]]))
        np.testing.assert_array_equal(source[row]["x"][..., 0], expected)


def test_opencv_and_pillow_decode_to_the_same_bytes(monkeypatch):
    pytest.importorskip("cv2")
    photo = load_sample_image("flower.jpg")[:64, :80]
    for pixels in (photo, photo[..., 0]):
        for kind, options in (
            ("JPEG", {"quality": 75}),
            ("JPEG", {"quality": 95, "subsampling": 0}),
            ("PNG", {}),
        ):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, kind, **options)
            found = []
            for installed in (True, False):
                monkeypatch.setattr("jaxnets.data.formats.images.CV2", installed)
                found.append(decode(file.getvalue(), 1 if pixels.ndim == 2 else 3, "it"))
            np.testing.assert_array_equal(*found, strict=True)


def test_sizes_are_refused_scaled_or_kept_as_asked(tmp_path):
    save(tmp_path, "p/a/1.png", RANDOM.randint(0, 256, (20, 30, 3), np.uint8))
    save(tmp_path, "p/b/2.png", RANDOM.randint(0, 256, (30, 20, 3), np.uint8))
    save(tmp_path, "p/b/3.png", RANDOM.randint(0, 256, (20, 30, 3), np.uint8))
    with pytest.raises(
        UserError, match=r"2\.png is 30 x 20 and the first image 20 x 30: choose a size for all"
    ):
        prepare(tmp_path / "p", "p", data_dir=tmp_path / "root")
    assert list_prepared(tmp_path / "root") == []
    _, problems = prepare(tmp_path / "p", "skipped", data_dir=tmp_path / "root", skip_errors=True)
    assert len(problems.found) == 1
    prepare(tmp_path / "p", "scaled", data_dir=tmp_path / "root", size=(10, 12))
    assert data.load("scaled", data_dir=tmp_path / "root").features.shape == (10, 12, 3)
    prepare(tmp_path / "p", "kept", data_dir=tmp_path / "root", keep_sizes=True)
    with pytest.raises(UserError, match="'kept' differ in size, and a network needs one"):
        data.load("kept", data_dir=tmp_path / "root")
    held = data.load("kept", data_dir=tmp_path / "root", size=(10, 12), test="train")
    examples = all_of(held.train)
    assert examples["x"].shape == (3, 10, 12, 3)
    assert sorted(map(tuple, examples["size"].tolist())) == [(20, 30), (20, 30), (30, 20)]
    with pytest.raises(UserError, match="cannot be combined with keeping all sizes"):
        prepare(tmp_path / "p", "x", data_dir=tmp_path / "root", size=(10, 12), keep_sizes=True)


def test_colours_are_refused_or_converted_as_asked(tmp_path):
    save(tmp_path, "p/a/1.png", RANDOM.randint(0, 256, (4, 4), np.uint8))
    save(tmp_path, "p/b/2.png", RANDOM.randint(0, 256, (4, 4, 3), np.uint8))
    with pytest.raises(
        UserError, match=r"2\.png is in colour and the first image grey: choose 1 or 3 channels"
    ):
        prepare(tmp_path / "p", "p", data_dir=tmp_path)
    for channels in (1, 3):
        prepare(tmp_path / "p", f"p{channels}", data_dir=tmp_path, channels=channels)
        assert data.load(f"p{channels}", data_dir=tmp_path, test="train").features.shape == (4, 4, channels)
    with pytest.raises(UserError, match="2 channels: it must be 1"):
        prepare(tmp_path / "p", "x", data_dir=tmp_path, channels=2)


def test_images_that_cannot_be_read(flowers, tmp_path):
    (flowers / "rose" / "1.png").write_bytes((flowers / "rose" / "3.png").read_bytes()[:-30])
    (flowers / "daisy" / "0.png").write_text("not an image")
    with pytest.raises(UserError, match=r"0\.png: not an image that can be read"):
        prepare(flowers, "flowers", data_dir=tmp_path)
    assert not list(tmp_path.glob("flowers/*/dataset_info.json"))
    builder, problems = prepare(flowers, "some", data_dir=tmp_path, skip_errors=True)
    assert builder.info.splits["train"].num_examples == 8
    assert sorted(message.split(":")[0].rsplit("/", 1)[1] for message in problems.found) == ["0.png", "1.png"]


def test_an_interrupted_preparation_leaves_nothing_that_looks_finished(tmp_path):
    batch = {b"data": RANDOM.randint(0, 256, (800, 3072), np.uint8), b"labels": [0, 1] * 400}
    (tmp_path / "cifar").mkdir()
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (tmp_path / "cifar" / name).write_bytes(pickle.dumps(batch))
    code = f"""
import sys
from pathlib import Path
import jaxnets.data.formats.form as form
slow = form.Form.stored
def stored(self, *arguments):
    print("at work", flush=True, file=sys.__stdout__)
    return slow(self, *arguments)
form.Form.stored = stored
from jaxnets.data.formats.images import decode
from jaxnets.data.formats.prepare import prepare
prepare(Path({str(tmp_path / "cifar")!r}), "cifar", data_dir=Path({str(tmp_path)!r}))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout.readline() == b"at work\n"
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list_prepared(tmp_path) == []
    prepare(tmp_path / "cifar", "cifar", data_dir=tmp_path)
    assert [(item.name, item.splits) for item in list_prepared(tmp_path)] == [
        ("cifar", {"train": 4000, "test": 800})
    ]
