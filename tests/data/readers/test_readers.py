"""What every layout gives, against files written byte by byte from their published descriptions."""

import gzip
import io
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from jaxnets.data.formats.readers import Problems, read_contents
from jaxnets.data.formats.readers.cifar import parse_python
from jaxnets.data.formats.readers.contents import split_of
from jaxnets.data.formats.readers.idx import parse_idx
from jaxnets.errors import UserError

RANDOM = np.random.RandomState(0)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def idx(array):
    # yann.lecun.com/exdb/mnist: 0, 0, type (8: unsigned byte), dimensions, sizes big-endian, the bytes
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def collect(contents, split):
    return [(label, example) for _, example, label in contents.splits[split]()]


def test_idx_files_gzip_or_not(tmp_path):
    images, labels = RANDOM.randint(0, 256, (6, 5, 4), np.uint8), np.array([0, 1, 2, 0, 1, 2], np.uint8)
    write(
        tmp_path,
        {
            "train-images-idx3-ubyte.gz": gzip.compress(idx(images)),
            "train-labels-idx1-ubyte.gz": gzip.compress(idx(labels)),
            "t10k-images.idx3-ubyte": idx(images[:2] + 1),
            "t10k-labels.idx1-ubyte": idx(labels[:2]),
        },
    )
    contents = read_contents(tmp_path, Problems())
    assert contents.classes == ("0", "1", "2")
    for (label, image), expected, pixels in zip(collect(contents, "train"), labels, images, strict=True):
        assert label == expected
        np.testing.assert_array_equal(image[..., 0], pixels)
    np.testing.assert_array_equal(collect(contents, "test")[1][1][..., 0], images[1] + 1)
    assert read_contents(tmp_path, Problems(), ["a", "b", "c"]).classes == ("a", "b", "c")


@pytest.mark.parametrize("version", ["binary", "python"])
def test_cifar_10(tmp_path, version):
    # cs.toronto.edu/~kriz/cifar.html: 1 byte label, 1,024 red, 1,024 green, 1,024 blue, row by row
    pixels, labels = RANDOM.randint(0, 256, (12, 3072), np.uint8), np.arange(12) % 3
    names = ["airplane", "automobile", "bird"]
    parts = {f"data_batch_{number}": slice(2 * number - 2, 2 * number) for number in (2, 1, 5, 4, 3)}
    parts["test_batch"] = slice(10, 12)
    if version == "binary":
        rows = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
        files = {f"cifar/{name}.bin": rows[part].tobytes() for name, part in parts.items()}
        files["cifar/batches.meta.txt"] = "\n".join(names).encode()
    else:
        files = {
            f"cifar/{name}": pickle.dumps({b"data": pixels[part], b"labels": labels[part].tolist()})
            for name, part in parts.items()
        }
        files["cifar/batches.meta"] = pickle.dumps({b"label_names": [name.encode() for name in names]})
    write(tmp_path, files)
    contents = read_contents(tmp_path, Problems())
    assert contents.classes == tuple(names)
    found = collect(contents, "train") + collect(contents, "test")
    assert [label for label, _ in found] == labels.tolist()
    for (_, image), row in zip(found, pixels, strict=True):
        assert image.shape == (32, 32, 3)
        assert image[3, 7].tolist() == [row[3 * 32 + 7], row[1024 + 3 * 32 + 7], row[2048 + 3 * 32 + 7]]


@pytest.mark.parametrize("version", ["binary", "python"])
def test_cifar_100_has_fine_labels(tmp_path, version):
    pixels, fine, coarse = RANDOM.randint(0, 256, (4, 3072), np.uint8), [0, 1, 2, 1], [0, 0, 1, 0]
    if version == "binary":
        rows = np.concatenate([np.stack([coarse, fine], axis=1).astype(np.uint8), pixels], axis=1)
        files = {"train.bin": rows.tobytes(), "test.bin": rows[:1].tobytes()}
        files["fine_label_names.txt"] = b"apple\nbear\ncloud\n"
    else:
        batch = {b"data": pixels, b"fine_labels": fine, b"coarse_labels": coarse}
        files = {"train": pickle.dumps(batch), "test": pickle.dumps(batch)}
        files["meta"] = pickle.dumps({b"fine_label_names": [b"apple", b"bear", b"cloud"]})
    write(tmp_path, files)
    contents = read_contents(tmp_path, Problems())
    assert contents.classes == ("apple", "bear", "cloud")
    assert [label for label, _ in collect(contents, "train")] == fine


def test_a_pickle_that_would_run_something_is_refused():
    class Evil:
        def __reduce__(self):
            return (print, ("it ran",))

    with pytest.raises(UserError, match=r"asks for builtins\.print"):
        parse_python(pickle.dumps({b"data": Evil()}), "data_batch_1")


def test_a_label_file_a_split(tmp_path):
    images = {
        f"{split}_jpg/{n}.png": png(np.full((2, 2), n, np.uint8))
        for split in ("train", "test")
        for n in (7, 9)
    }
    labels = {"train_jpg.txt": b"\xef\xbb\xbf9.png 1\n\n7.png  0\r\n", "test_jpg.txt": b"7.png\t0\n"}
    write(tmp_path, {**images, **labels, "LICENSE.txt": b"do what you like with it\n"})
    contents = read_contents(tmp_path, Problems())
    assert contents.classes == ("0", "1")
    assert collect(contents, "train") == [(1, images["train_jpg/9.png"]), (0, images["train_jpg/7.png"])]
    assert collect(contents, "test") == [(0, images["test_jpg/7.png"])]


def test_labels_can_be_words_and_names_can_have_spaces(tmp_path):
    image = png(np.zeros((2, 2), np.uint8))
    write(tmp_path, {"my dog.png": image, "cat.png": image, "labels.txt": b"my dog.png, dog\ncat.png, cat\n"})
    contents = read_contents(tmp_path, Problems())
    assert contents.classes == ("cat", "dog")
    assert [label for label, _ in collect(contents, "train")] == [1, 0]


@pytest.mark.parametrize("prefix", ["", "flower_photos/", "a/b/"])
def test_class_folders(tmp_path, prefix):
    image = png(np.zeros((2, 2), np.uint8))
    names = ["rose/1.png", "daisy/1.PNG", "daisy/2.jpeg", "daisy/notes.doc", ".git/x.png"]
    write(tmp_path, {f"{prefix}{name}": image for name in names})
    contents = read_contents(tmp_path, Problems())
    assert contents.classes == ("daisy", "rose")
    assert list(contents.splits) == ["train"]
    assert [label for label, _ in collect(contents, "train")] == [0, 0, 1]
    given = read_contents(tmp_path, Problems(), ["rose", "daisy"])
    assert [label for label, _ in collect(given, "train")] == [1, 1, 0]


def test_class_folders_in_split_folders(tmp_path):
    image = png(np.zeros((2, 2), np.uint8))
    names = ["Train/a/1.png", "Train/b/1.png", "val/b/1.png", "test/a/3.png", "test/b/4.png"]
    write(tmp_path, dict.fromkeys(names, image))
    contents = read_contents(tmp_path, Problems())
    assert contents.classes == ("a", "b")
    labels = {split: [label for label, _ in collect(contents, split)] for split in contents.splits}
    assert labels == {"train": [0, 1], "validation": [1], "test": [0, 1]}


def test_splits_in_names():
    names = ["train-", "t10k-", "emnist-letters-test-", "valid", "contrast", "trainers", "x_train_60000"]
    assert [split_of(name) for name in names] == ["train", "test", "test", "validation", None, None, "train"]


IMAGE = png(np.zeros((2, 2), np.uint8))
LABELS = idx(np.zeros(2, np.uint8))


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "holds no IDX files"),
        ({"x.doc": b""}, "holds no IDX files"),
        (
            {"train-images-idx3-ubyte": b"PK\3\4"},
            r"train-images-idx3-ubyte does not begin like an IDX file .* \[80",
        ),
        (
            {"train-images-idx3-ubyte": idx(np.zeros((2, 2, 2), np.uint8))},
            "only images of train: add the other",
        ),
        (
            {
                "train-images-idx3-ubyte": idx(np.zeros((3, 2, 2), np.uint8)),
                "train-labels-idx1-ubyte": LABELS,
            },
            "3 x 2 x 2 bytes and .*train-labels-idx1-ubyte 2: they must be images",
        ),
        ({"all-images-idx3-ubyte": idx(np.zeros((2, 2, 2), np.uint8))}, "contains neither train nor test"),
        ({"t10k-labels-idx1-ubyte": LABELS[:6]}, "cut off within its header"),
        (
            {"t10k-labels-idx1-ubyte": LABELS[:-1]},
            "states that it holds 2 bytes, but there are 1 instead of 2",
        ),
        ({"t10k-labels-idx1-ubyte.gz": gzip.compress(LABELS)[:-9]}, "a gzip file that is damaged"),
        ({"data_batch_1.bin": bytes(3072)}, "3,072 bytes, which is not a whole number of records of 3,073"),
        ({"data_batch_1": b"\x80\4no"}, "cannot be read as a CIFAR batch"),
        ({"data_batch_1": pickle.dumps([1])}, "holds a list, not the dictionary"),
        (
            {"data_batch_1": pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [1, 2]})},
            "not a CIFAR batch",
        ),
        ({"test_batch.bin": bytes(3073)}, "holds only test: name the training part train"),
        (
            {"1.png": IMAGE, "l.txt": b"1.png 0\n2.png 0"},
            r"l\.txt, line 2: there is no image 2\.png",
        ),
        (
            {"1.png": IMAGE, "l.txt": b"1.png 0\n1.png 1"},
            r"line 2: 1\.png was given a label before, in .* line 1",
        ),
        (
            {"1.png": IMAGE, "l.txt": b"1.png 0\njust-one"},
            "line 2: 'just-one' is not an image's name and a label",
        ),
        (
            {"1.png": IMAGE, "2.png": IMAGE, "l.txt": b"1.png 0\n2.png x"},
            "line 2: the label 'x' is not a number",
        ),
        (
            {"1.png": IMAGE, "2.png": IMAGE, "l.txt": b"1.png 0\n2.png -1"},
            "line 2: the label '-1' is not a number",
        ),
        (
            {"1.png": IMAGE, "2.png": IMAGE, "l.txt": b"1.png 0\n2.png 7"},
            "6 of 8 classes have no training example",
        ),
        ({"1.png": IMAGE, "l.txt": b"1.png 0\n\xff"}, r"l\.txt, line 2: not text in UTF-8"),
        ({"1.png": IMAGE, "a.txt": b"1.png 0", "b.txt": b"1.png 0"}, "name each train or test"),
        (
            {"a/1.png": IMAGE, "2.png": IMAGE},
            r"2\.png is in no class folder: images must be at class/image",
        ),
        ({"train/a/1.png": IMAGE, "test/b/1.png": IMAGE}, "the training part has no class b"),
        ({"a/1.png": IMAGE, "b/notes.doc": b""}, "b is a class without an image"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, files, message):
    write(tmp_path, files)
    with pytest.raises(UserError, match=message) as error:
        read_contents(tmp_path, Problems())
    assert "\n" not in str(error.value)


def test_labels_beyond_the_classes_given(tmp_path):
    images, labels = np.zeros((3, 2, 2), np.uint8), np.array([0, 5, 1], np.uint8)
    write(tmp_path, {"train-images-idx3-ubyte": idx(images), "train-labels-idx1-ubyte": idx(labels)})
    with pytest.raises(UserError, match="example 1 has label 5, and the labels are 0 to 1"):
        read_contents(tmp_path, Problems(), ["a", "b"])
    problems = Problems(skip=True)
    contents = read_contents(tmp_path, problems, ["a", "b"])
    assert [label for label, _ in collect(contents, "train")] == [0, 1]
    assert len(problems.found) == 1


def test_skipping_lists_what_is_left_out(tmp_path):
    lines = b"1.png 0\n3.png 0\n1.png 0\n2.png 1\n2.png\n"
    write(tmp_path, {"1.png": IMAGE, "2.png": IMAGE, "l.txt": lines})
    problems = Problems(skip=True)
    contents = read_contents(tmp_path, problems)
    assert [label for label, _ in collect(contents, "train")] == [0, 1]
    assert [message.split(":")[0].rsplit(", ")[-1] for message in problems.found] == [
        "line 2",
        "line 3",
        "line 5",
    ]


def test_idx_of_more_dimensions():
    array = RANDOM.randint(0, 256, (2, 3, 4, 5), np.uint8)
    np.testing.assert_array_equal(parse_idx(idx(array), "x"), array)
