"""What TFDS's data sets hold: the part to judge by, the features to learn from, and damage."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.data.formats.images import CV2
from jaxnets.errors import UserError
from tests.data.folders import all_of
from tests.data.made import make

RANDOM = np.random.RandomState(0)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def images(shape=(6, 5, 1)):
    import tensorflow_datasets as tfds

    return {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(names=["a", "b"])}


def examples(count, label=None):
    """Images whose pixels are their number."""
    return [
        {"image": png(np.full((6, 5), number, np.uint8)), "label": number % 2 if label is None else label}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "splits, trained, held_out",
    [
        ({"train": 8, "val": 3}, 8, 3),  # as tfds.ImageFolder names it
        ({"train": 8, "validation": 3, "test": 4}, 8, 4),
        ({"train": 8, "validation": 3, "test": -4}, 8, 3),  # no labels: a contest keeps them secret
        ({"train": 10, "test": -4}, 8, 2),
        ({"train": 10, "unlabelled": -4}, 8, 2),
        ({"training": 5, "testing": 2}, 5, 2),
    ],
)
def test_what_is_held_out(tmp_path, splits, trained, held_out):
    found = {name: examples(abs(count), -1 if count < 0 else None) for name, count in splits.items()}
    make(tmp_path, "made", images(), found)
    made = data.load("made", data_dir=tmp_path)
    assert (len(made.train), len(made.test)) == (trained, held_out)
    assert set(made.test.labels()) <= {0, 1}
    if -4 in splits.values():
        with pytest.raises(UserError, match="of made holds examples without a label: choose another"):
            data.load("made", data_dir=tmp_path, test=next(name for name in splits if splits[name] < 0))


def test_a_label_outside_the_classes_is_named_when_it_is_read(tmp_path):
    made = examples(250)
    made[77]["label"] = -1
    make(tmp_path, "made", images(), {"train": made})
    with pytest.raises(
        UserError,
        match=r"example \d+ of made/1.0.0 in .* has the label -1, and|holds examples without a label",
    ):
        all_of(data.load("made", data_dir=tmp_path, test="train").train)


def test_without_a_part_named_train_the_parts_are_asked_for(tmp_path):
    make(tmp_path, "made", images(), {"left": examples(4), "right": examples(3)})
    with pytest.raises(UserError, match="made has the splits left, right, and none is named train"):
        data.load("made", data_dir=tmp_path)
    made = data.load("made", data_dir=tmp_path, train="left", test="right")
    assert (len(made.train), len(made.test)) == (4, 3)


def test_images_of_16_bits_are_scaled_by_their_range(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    wide = [np.full((6, 5), value, np.uint16) for value in (0, 255, 256, 32_767, 32_768, 65_535)]
    features = images() | {"image": tfds.features.Image(shape=(6, 5, 1), dtype=np.uint16)}
    stored = [{"image": png(image), "label": 0} for image in wide]
    make(tmp_path, "wide", features, {"train": stored})
    make(tmp_path, "narrow", images(), {"train": stored})  # files of 16 bits, said to be of 8
    for name in ("wide", "narrow"):
        for opencv in {CV2, False}:
            monkeypatch.setattr("jaxnets.data.formats.images.CV2", opencv)
            source = data.load(name, data_dir=tmp_path, test="train").train
            assert source.features.dtype == "uint8"
            assert sorted(all_of(source)["x"][:, 0, 0, 0]) == [0, 0, 1, 127, 128, 255]


def other_sets():
    """Features, an example, supervised keys, and what is said."""
    import tensorflow_datasets as tfds

    kinds, label = tfds.features, images()["label"]
    tensor, three = kinds.Tensor(shape=(3,), dtype=np.float32), np.zeros(3, np.float32)
    several = {"x": tensor, "y": label, "z": tensor}
    wide = {"x": kinds.Tensor(shape=(6, 5, 1), dtype=np.int64), "y": label}
    pair, missing = ("x", "y"), "does not name one input and one label: name two of"
    return {
        "text": (
            {"x": kinds.Text(), "y": label},
            {"x": "so", "y": 0},
            pair,
            "input of .* is Text, not an image",
        ),
        "scalar": (
            {"x": kinds.Scalar(np.float32), "y": label},
            {"x": 1.0, "y": 0},
            pair,
            r"shape \(\) and float32",
        ),
        "list": (
            {"x": kinds.Sequence(tensor), "y": label},
            {"x": [three], "y": 0},
            pair,
            "is Sequence, not an",
        ),
        "int64": (
            wide,
            {"x": np.zeros((6, 5, 1), int), "y": 0},
            pair,
            "int64, which does not tell where black",
        ),
        "several": (
            {"x": tensor, "y": kinds.Sequence(label)},
            {"x": three, "y": [0, 1]},
            pair,
            "is Sequence, not",
        ),
        "number": (
            {"x": tensor, "y": kinds.Scalar(np.float32)},
            {"x": three, "y": 0.5},
            pair,
            "label of .* Scalar",
        ),
        "none": ({"x": tensor, "y": label}, {"x": three, "y": 0}, None, f"{missing} x, y"),
        "three": (several, {"x": three, "y": 0, "z": three}, ("x", "y", "z"), f"{missing} x, y, z"),
        "nested": (
            {"x": {"a": tensor, "b": tensor}, "y": label},
            {"x": {"a": three, "b": three}, "y": 0},
            ({"a": "a"}, "y"),
            f"{missing} x/a, x/b, y",
        ),
        "sizes": (images((None, None, 1)), examples(1)[0], ("image", "label"), "with --size HEIGHT WIDTH"),
    }


@pytest.mark.parametrize(
    "name", ["text", "scalar", "list", "int64", "several", "number", "none", "three", "nested", "sizes"]
)
def test_what_cannot_be_learned_from_is_one_sentence(tmp_path, name):
    features, example, keys, message = other_sets()[name]
    make(tmp_path, name, features, {"train": [example]}, keys)
    with pytest.raises(UserError, match=message) as caught:
        data.load(name, data_dir=tmp_path, test="train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_what_tfds_cannot_open_without_tensorflow_is_one_sentence(tmp_path, kind):
    folder = make(tmp_path, "made", images(), {"train": examples(2)})
    path = folder / "features.json"
    description = json.loads(path.read_text())
    shape = {"dimensions": ["-1"] if kind == "audio" else ["-1", "6", "5", "3"]}
    stored = {"dtype": "int64", "encoding": "NONE"} if kind == "audio" else {"dtype": "uint8"}
    description["featuresDict"]["features"]["image"] = {
        "pythonClassName": f"tensorflow_datasets.core.features.{kind}_feature.{kind.capitalize()}",
        kind: {**stored, "shape": shape},
    }
    path.write_text(json.dumps(description))
    with pytest.raises(
        UserError, match=r"audio or video, that TFDS cannot open without tensorflow|is (Audio|Video)"
    ):
        data.load("made", data_dir=tmp_path)


def test_keys_can_be_named_inside_others_too(tmp_path):
    from tensorflow_datasets import features as kinds

    tensor = kinds.Tensor(shape=(3,), dtype=np.float32)
    features = {"pair": {"left": tensor, "right": tensor}, "kind": images()["label"]}
    rows = RANDOM.rand(2, 4, 3).astype(np.float32)
    stored = [{"pair": {"left": left, "right": right}, "kind": 1} for left, right in zip(*rows, strict=True)]
    make(tmp_path, "made", features, {"train": stored}, None)
    for place, side in enumerate(("left", "right")):
        source = data.load("made", data_dir=tmp_path, test="train", keys=(f"pair/{side}", "kind")).train
        np.testing.assert_array_equal(np.sort(all_of(source)["x"], 0), np.sort(rows[place], 0))
    with pytest.raises(UserError, match="'made' has no feature 'left', only kind, pair/left, pair/right"):
        data.load("made", data_dir=tmp_path, keys=("left", "kind"))


def test_a_size_is_for_images_and_within_reason(tmp_path):
    from tensorflow_datasets import features as kinds

    make(tmp_path, "made", images((None, None, 1)), {"train": examples(4)})
    assert data.load("made", data_dir=tmp_path, size=(3, 7)).features.shape == (3, 7, 1)
    for size in ((0, 5), (5, 10**6), (5,)):
        with pytest.raises(UserError, match="it is a height and a width, from 1 to 4,096"):
            data.load("made", data_dir=tmp_path, size=size)
    features = {"x": kinds.Tensor(shape=(6, 5, 1), dtype=np.float32), "y": images()["label"]}
    make(
        tmp_path,
        "floats",
        features,
        {"train": [{"x": np.ones((6, 5, 1), np.float32), "y": 0}] * 2},
        ("x", "y"),
    )
    assert data.load("floats", data_dir=tmp_path).features.dtype == "float32"
    with pytest.raises(UserError, match=r"Tensor of shape .*, cannot be scaled: leave the size out"):
        data.load("floats", data_dir=tmp_path, size=(3, 3))
    with pytest.raises(UserError, match="digits comes with scikit-learn as it is: leave out its size"):
        data.load("digits", size=(3, 3))


@pytest.mark.parametrize(
    "shape, encoding",
    [((6, 5, 1), "NONE"), ((6, 5, 3), "NONE"), ((6, 5, 1), "BYTES"), ((None, None, 3), "BYTES")],
)
def test_images_stored_as_pixels_are_scaled_as_those_in_files(tmp_path, shape, encoding):
    from tensorflow_datasets import features as kinds

    pixels = RANDOM.randint(0, 256, (2, 6, 5, shape[-1])).astype(np.uint8)
    features = {
        "x": kinds.Tensor(shape=shape, dtype=np.uint8, encoding=kinds.Encoding[encoding]),
        "y": images()["label"],
    }
    stored = [{"x": image, "y": place} for place, image in enumerate(pixels)]
    make(tmp_path, "pixels", features, {"train": stored}, ("x", "y"))
    found = data.load("pixels", data_dir=tmp_path, test="train", size=(9, 8))
    assert found.features.shape == (9, 8, shape[-1])
    read = all_of(found.train)
    for image, place in zip(read["x"], read["y"], strict=True):
        picture = Image.fromarray(pixels[place].squeeze())
        expected = np.asarray(picture.resize((8, 9), Image.Resampling.LANCZOS)).reshape(image.shape)
        np.testing.assert_array_equal(image, expected)
    if None in shape:
        with pytest.raises(UserError, match="differ in size, and a network needs one: scale them all"):
            data.load("pixels", data_dir=tmp_path)


def attempt(read, *arguments, **options):
    """Returns what `read` gives, or None after a UserError of one line."""
    try:
        return read(*arguments, **options)
    except UserError as error:
        text = str(error)
    assert "\n" not in text
    assert "prepare the data set again" in text
    return None


def test_damaged_records_never_give_another_image(tmp_path):
    noise = [{"image": png(RANDOM.randint(0, 256, (6, 5), np.uint8)), "label": 0} for _ in range(20)]
    folder = make(tmp_path, "made", images(), {"train": noise})
    expected = all_of(data.load("made", data_dir=tmp_path, test="train").train)["x"]
    (file,) = folder.glob("*.array_record*")
    whole = file.read_bytes()
    length = len(whole.rstrip(b"\0"))
    refused = 0
    changed = [
        whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :] for place in range(70, 4000, 61)
    ]
    for content in (*changed, whole[:3000], whole[: length - 1], b""):
        file.write_bytes(content)
        part = attempt(data.load, "made", data_dir=tmp_path, test="train")
        found = part and attempt(all_of, part.train)
        if found is None:
            refused += 1
        else:  # what was changed is not part of a record
            np.testing.assert_array_equal(found["x"], expected)
    assert refused > len(changed) / 2


def test_a_description_that_is_damaged_or_missing_is_one_sentence(tmp_path):
    folder = make(tmp_path, "made", images(), {"train": examples(4)})
    for damage in (b"{", b"", b'{"a": 1}', b"\xff", b"[]"):
        (folder / "features.json").write_bytes(damage)
        with pytest.raises(UserError, match=r"the description of made in .* prepare the data set again"):
            data.load("made", data_dir=tmp_path)
    (folder / "features.json").unlink()
    with pytest.raises(UserError, match=r"the description of made in .* prepare the data set again"):
        data.load("made", data_dir=tmp_path)


def test_a_missing_file_of_records_is_one_sentence(tmp_path):
    folder = make(tmp_path, "made", images(), {"train": examples(4)})
    next(folder.glob("*.array_record*")).unlink()
    with pytest.raises(UserError):
        all_of(data.load("made", data_dir=tmp_path).train)


def test_parquet_gets_advice_that_works(tmp_path):
    make(tmp_path, "made", images(), {"train": examples(4)}, file_format="parquet")
    with pytest.raises(
        UserError, match=r"holds parquet, and neither .*tfds build made --file_format array_record"
    ):
        data.load("made", data_dir=tmp_path)
