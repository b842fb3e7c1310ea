"""Folders of classes and of splits, told apart or asked about."""

import pytest

from jaxnets.data.formats.readers import Problems, read_contents
from jaxnets.data.formats.readers.contents import is_split, rest_of, split_of
from jaxnets.errors import UserError
from tests.data.folders import found, numbered, write


def folders(*names):
    """Two images in each folder; they are numbered."""
    names = [f"{name}/{number}" for name in names for number in range(2)]
    return {f"{name}.png": numbered(number) for number, name in enumerate(names)}


@pytest.mark.parametrize(
    "train, other, split",
    [
        ("train", "test", "test"),
        ("Training", "Testing", "test"),
        ("training_set", "test_set", "test"),
        ("trainset", "testset", "test"),
        ("seg_train", "seg_test", "test"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),  # as in Intel's scenes
        ("train", "dev", "validation"),
        ("train", "val", "validation"),
        ("train_images", "valid_images", "validation"),
        ("train2017", "val2017", "validation"),
        ("trainImages", "evalImages", "validation"),
        ("imagenette/train", "imagenette/val", "validation"),
        ("train/images", "test/images", "test"),
        ("训练集", "测试集", "test"),
        ("my photos/mnist_train_jpg_60000", "my photos/mnist_test_jpg_10000", "test"),
    ],
)
def test_splits_by_any_usual_name(tmp_path, train, other, split):
    images = folders(f"{train}/ant", f"{train}/bee", f"{other}/ant", f"{other}/bee")
    contents = read_contents(write(tmp_path, images), Problems())
    assert contents.classes == ("ant", "bee")
    assert found(contents) == {0: "ant", 1: "ant", 2: "bee", 3: "bee"}
    assert found(contents, split) == {4: "ant", 5: "ant", 6: "bee", 7: "bee"}
    assert contents.splits.keys() == {"train", split}


def test_a_class_that_is_not_held_out_and_three_parts(tmp_path):
    images = folders("train/ant", "train/bee", "test/bee", "valid/ant")
    contents = read_contents(write(tmp_path, images), Problems())
    assert found(contents, "test") == {4: "bee", 5: "bee"}
    assert found(contents, "validation") == {6: "ant", 7: "ant"}


@pytest.mark.parametrize(
    "names",
    [
        ("train/ant", "train/bee", "test/ant", "extra/ant"),
        ("train", "test", "extra"),
        ("bus", "car", "train"),
        ("valid", "invalid"),
        ("seg_train/ant", "seg_train/bee", "seg_test/ant", "seg_pred"),
        ("train/ant", "train/bee", "unlabelled"),
    ],
)
def test_splits_beside_others_are_a_question(tmp_path, names):
    write(tmp_path, folders(*names))
    outer = sorted({name.split("/")[0] for name in names})
    with pytest.raises(UserError, match=rf"if they are parts of the data, .* --classes {' '.join(outer)}"):
        read_contents(tmp_path, Problems(skip=True))
    contents = read_contents(tmp_path, Problems(), outer)
    assert contents.classes == tuple(outer)
    assert list(contents.splits) == ["train"]


@pytest.mark.parametrize(
    "names", [("bullet_train", "car"), ("bullet_train", "test_tube", "car"), ("contest", "trainer")]
)
def test_classes_in_whose_names_a_split_is_hidden(tmp_path, names):
    assert read_contents(write(tmp_path, folders(*names)), Problems()).classes == tuple(sorted(names))


def test_splits_inside_of_classes_are_refused(tmp_path):
    images = folders("ant/train", "bee/train", "ant/test", "bee/test")
    with pytest.raises(
        UserError, match=r"ant/test is a part of a class: put train and test above the classes"
    ):
        read_contents(write(tmp_path / "a", images), Problems())
    deep = folders("ant/home", "bee/garden", "ant/wild")
    assert found(read_contents(write(tmp_path / "b", deep), Problems())) == dict(
        enumerate(["ant", "ant", "bee", "bee", "ant", "ant"])
    )


@pytest.mark.parametrize("names", [("photos",), ("train/ant", "test/ant"), ("images", "images/more")])
def test_one_class_is_refused(tmp_path, names):
    with pytest.raises(UserError, match="has only one class folder"):
        read_contents(write(tmp_path, folders(*names)), Problems(skip=True))


@pytest.mark.parametrize(
    "names",
    [
        ("images", "masks"),
        ("JPEGImages", "SegmentationClass"),
        ("train/images", "train/labels", "test/images"),
    ],
)
def test_folders_that_are_no_classes_are_a_question(tmp_path, names):
    write(tmp_path, folders(*names))
    with pytest.raises(UserError, match="where its classes should be: move away what is no class"):
        read_contents(tmp_path, Problems())


def test_an_image_beside_the_classes_does_not_hide_them(tmp_path):
    images = folders("flowers/ant", "flowers/bee") | {"flowers/0.png": numbered(9)}
    with pytest.raises(UserError, match=r"flowers/0\.png is in no class folder"):
        read_contents(write(tmp_path, images), Problems())
    problems = Problems(skip=True)
    assert set(found(read_contents(tmp_path, problems)).values()) == {"ant", "bee"}
    assert len(problems.found) == 1


@pytest.mark.parametrize(
    "classes, message",
    [
        (["a", "a", "c"], "the names given have the class 'a' 2 times"),
        (["a", " b"], "' b' is no name: use text on one line"),
        (["a", ""], "'' is no name"),
        (["a", "b\nc"], "is no name"),
    ],
)
def test_names_that_are_no_names(tmp_path, classes, message):
    with pytest.raises(UserError, match=message):
        read_contents(write(tmp_path, folders("a", "b")), Problems(), classes)


def test_a_folder_whose_name_ends_with_a_space(tmp_path):
    with pytest.raises(UserError, match="'ant ' is no name"):
        read_contents(write(tmp_path, folders("ant ", "ant")), Problems())


def test_photographs_that_cannot_be_read_are_images_and_other_files_are_counted(tmp_path):
    images = folders("ant", "bee") | {
        "ant/IMG_1.HEIC": b"\0\0\0\x18ftypheic",
        "ant/x.psd": b"8BPS",
        "a.json": b"",
        "b.json": b"",
    }
    problems = Problems()
    contents = read_contents(write(tmp_path, images), problems)
    assert problems.unused == ["3 files (2 .json, 1 .psd)"]
    assert sum(1 for _ in contents.splits["train"]()) == 5


def test_words_of_splits():
    names = [
        "train",
        "Train2017",
        "test_set",
        "valSet",
        "dev",
        "bullet train",
        "strain",
        "t10k",
        "验证集",
        "images",
    ]
    assert [split_of(name) for name in names] == [
        "train", "train", "test", "validation", "validation", "train", None, "test", "validation", None,
    ]  # fmt: skip
    assert [is_split(name) for name in names] == [True] * 5 + [False] * 2 + [True, True, False]
    assert rest_of("seg_train") == rest_of("seg-test-2") == "seg"
