"""Label files as people write them: read where the meaning is clear, named where it is not, never guessed."""

import pytest

from jaxnets.data.formats.readers import Problems, read_contents
from jaxnets.errors import UserError
from tests.data.folders import found, numbered, write

IMAGES = {f"images/{number}.png": numbered(number) for number in range(6)}
LABELS = {number: str(number % 3) for number in range(6)}
WORDS = {number: ("ant", "big bee", "cat")[number % 3] for number in range(6)}


def lines(form, labels=LABELS):
    return "".join(form.format(number, label) + "\n" for number, label in labels.items())


@pytest.mark.parametrize(
    "name, text",
    [
        ("labels.txt", lines("{}.png {}")),
        ("labels.csv", lines("{}.png,{}")),
        ("labels.csv", "filename,label\n" + lines("{}.png,{}")),
        ("train.csv", "Image,Class\r\n" + lines("{}.png,{}\r")),
        ("labels.csv", "\ufeffid,breed\n" + lines("{},{}")),  # without endings, as at Kaggle
        ("labels.csv", ",file_name,label\n" + lines("{0},{0}.png,{1}")),  # the index of pandas
        ("gt.csv", "Filename;Width;Height;ClassId\n" + lines("{}.png;30;31;{}")),  # GTSRB
        ("labels.tsv", lines("{}.png\t{}")),
        ("labels.txt", lines("{1} {0}.png")),  # the label first
        ("labels.csv", "label,image\n" + lines("{1},images/{0}.png")),
        ("labels.txt", lines("{} {}")),
        ("labels.txt", lines("{}.png -> {}")),
        ("labels.txt", lines("{}.png: {}")),
        ("labels.csv", lines('"{}.png","{}"')),
        ("labels.txt", lines('"images/{}.png" "{}"')),
        ("labels.csv", lines("images\\{}.png,{}")),  # on Windows
        ("labels.csv", lines("./images/{}.png, {},")),
        ("deep/below/labels.csv", lines("{}.png,{}")),
    ],
)
def test_a_label_file_that_is_clear_is_read(tmp_path, name, text):
    contents = read_contents(write(tmp_path, {**IMAGES, name: text}), Problems())
    assert found(contents) == LABELS
    assert list(contents.splits) == ["train"]


@pytest.mark.parametrize("form", ["{}.png,{}", '{}.png,"{}"', "{}.png\t{}", "{}.png -> {}", "{}.png;{}"])
def test_labels_of_several_words(tmp_path, form):
    contents = read_contents(write(tmp_path, {**IMAGES, "labels.csv": lines(form, WORDS)}), Problems())
    assert found(contents) == WORDS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk"])
def test_chinese_labels_in_any_encoding_that_is_known(tmp_path, encoding):
    labels = {number: "猫狗"[number % 2] for number in range(6)}
    text = lines("{}.png,{}", labels).encode(encoding)
    write(tmp_path, {**IMAGES, "labels.csv": text})
    if encoding == "gbk":
        with pytest.raises(UserError, match=r"labels\.csv, line 2: not text in UTF-8: give its encoding"):
            read_contents(tmp_path, Problems(skip=True))  # 猫 in GBK is è in UTF-8
    assert found(read_contents(tmp_path, Problems(), encoding="gbk")) == labels


@pytest.mark.parametrize(
    "text, reason",
    [
        (lines("{}.png {} 1"), "it has 3 columns, and no header"),
        (lines("{}.png,{},0.5,0.7"), "it has 4 columns, and no header"),
        (lines("{}.png big {}"), "it has 3 columns"),
        ("image,lesion,sex\n" + lines("{}.png,{},f"), "the label may be in any of the columns lesion, sex"),
        ("image,label,class\n" + lines("{}.png,{},1"), "the label may be in any of the columns label, class"),
        (lines("{0}.png {0}.png {1}"), "several of its columns name images"),
        (lines("{}.png train"), "it has no column of labels"),
    ],
)
def test_a_label_file_that_is_not_clear_is_named(tmp_path, text, reason):
    write(tmp_path, {**IMAGES, "labels.txt": text})
    with pytest.raises(
        UserError, match=rf"labels\.txt names images, but not clearly their labels, since {reason}"
    ):
        read_contents(tmp_path, Problems(skip=True))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0\n1\n2\n",
        "0 0\n1 1\n2 2\n",
        "0 .5 .5 .1 .1\n",
        "0 5 5 1 1\n",
        "made by hand\n",
        lines("{}.png"),
        '{"0.png": 1}',
    ],
)
def test_without_labels_one_folder_of_images_is_refused_and_what_may_hold_them_is_named(tmp_path, text):
    write(tmp_path, {**IMAGES, "labels.json": text, "names.txt": text})
    with pytest.raises(
        UserError, match=r"one class folder, images: .*; labels\.json, names\.txt could not be read as one"
    ):
        read_contents(tmp_path, Problems(skip=True))


@pytest.mark.parametrize("label", ["0.5", "1.0", "-.25", "3.", "1.5e-3"])
def test_numbers_with_decimals_are_no_class_names(tmp_path, label):
    text = lines("{}.png,{}", {**LABELS, 2: label})
    with pytest.raises(
        UserError, match=rf"line 3: the label '{label}' is a number with decimals, not a class"
    ):
        read_contents(write(tmp_path, {**IMAGES, "labels.csv": text}), Problems())
    text = lines("{}.png,{}", dict.fromkeys(LABELS, label))
    with pytest.raises(UserError, match=r"line 1: the label .* is a number with decimals"):
        read_contents(write(tmp_path, {"labels.csv": text}), Problems())


README = "Photos of 猫 taken at home. See 0.png and 1.png.\nDo what you like.\nÜber alles.\n"


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "utf-16", "latin-1", "utf-32"])
def test_texts_that_belong_to_nobody_do_not_matter(tmp_path, encoding):
    notes = {
        f"{name}.txt": README.replace("猫", "cats").encode(encoding, "replace")
        for name in ("README", "notice")
    }
    problems = Problems()
    labels = lines("{}.png {}")
    assert (
        found(read_contents(write(tmp_path, {**IMAGES, **notes, "labels.txt": labels}), problems)) == LABELS
    )
    assert problems.unused == ["2 files (2 .txt)"]


def test_a_column_of_splits_is_used(tmp_path):
    parts = {number: ("train", "Train", "test", "val")[number % 4] for number in range(6)}
    text = "path,label,split\n" + "".join(f"{n}.png,{n % 2},{part}\n" for n, part in parts.items())
    contents = read_contents(write(tmp_path, {**IMAGES, "all.csv": text}), Problems())
    assert found(contents) == {0: "0", 1: "1", 4: "0", 5: "1"}
    assert found(contents, "test") == {2: "0"}
    assert found(contents, "validation") == {3: "1"}


def test_names_are_found_by_split_and_only_if_one_image_is_meant(tmp_path):
    images = {
        f"{part}_images/{n}.png": numbered(n + 6 * (part == "test"))
        for n in range(6)
        for part in ("train", "test")
    }
    files = {"train.csv": lines("{},{}"), "test.csv": lines("{},{}")}
    contents = read_contents(write(tmp_path / "a", {**images, **files}), Problems())
    assert found(contents) == LABELS
    assert found(contents, "test") == {number + 6: label for number, label in LABELS.items()}
    write(tmp_path / "b", {"x/0.png": numbered(0), "y/0.png": numbered(0), "labels.csv": "0.png,ant\n"})
    with pytest.raises(UserError, match=r"line 1: 0\.png may be x/0\.png or y/0\.png"):
        read_contents(tmp_path / "b", Problems())


def test_an_image_is_not_judged_by_that_it_is_trained_on(tmp_path):
    write(tmp_path, {**IMAGES, "train.csv": lines("{}.png,{}"), "test.csv": "0.png,0\n"})
    with pytest.raises(
        UserError, match=r"test\.csv, line 1: images/0\.png is among the training images, too"
    ):
        read_contents(tmp_path, Problems())


def test_a_list_that_only_numbers_images_in_class_folders_is_no_label_file(tmp_path):
    """As images.txt of CUB-200."""
    images = {
        f"images/{bird}/{n}.png": numbered(n) for n, bird in enumerate(["1.Auk", "1.Auk", "2.Wren", "2.Wren"])
    }
    index = "".join(f"{number} {name.removeprefix('images/')}\n" for number, name in enumerate(images, 1))
    problems = Problems()
    contents = read_contents(write(tmp_path, {**images, "images.txt": index}), problems)
    assert found(contents) == {0: "1.Auk", 1: "1.Auk", 2: "2.Wren", 3: "2.Wren"}
    assert problems.unused == [f"{tmp_path}/images.txt lists images without labels", "1 file (1 .txt)"]


def test_labels_that_start_at_one(tmp_path):
    text = lines("{}.png {}", {number: str(number % 3 + 1) for number in range(6)})
    write(tmp_path, {**IMAGES, "labels.txt": text})
    for options in ({}, {"classes": ["x", "y", "z"]}, {"classes": ["w", "x", "y", "z"]}):
        for skip in (False, True):
            with pytest.raises(
                UserError, match=r"labels\.txt: the labels run from 1 to 3: give --first-label 1"
            ):
                read_contents(tmp_path, Problems(skip), **options)
    assert found(read_contents(tmp_path, Problems(), first_label=1)) == {n: str(n % 3 + 1) for n in range(6)}
    named = read_contents(tmp_path, Problems(), ["x", "y", "z"], first_label=1)
    assert found(named) == {number: "xyz"[number % 3] for number in range(6)}
    with pytest.raises(UserError, match=r"line 1: the label '1' is not a number from 2 to"):
        read_contents(tmp_path, Problems(), first_label=2)


def test_skipping_keeps_no_label_that_may_be_wrong_and_makes_no_class_that_nobody_named(tmp_path):
    write(tmp_path, {**IMAGES, "labels.txt": lines("{}.png {}") + "0.png 1\n3.png 0\n"})
    problems = Problems(skip=True)
    kept = read_contents(tmp_path, problems)
    assert found(kept) == {
        number: label for number, label in LABELS.items() if number
    }  # 3 has one label, twice
    assert [message.split(": ")[0].rsplit(" ", 1)[1] for message in problems.found] == ["7", "8"]
    write(tmp_path, {"labels.txt": lines("{}.png {}", {**LABELS, 5: "9"})})
    with pytest.raises(UserError, match="6 of 10 classes have no training example"):
        read_contents(tmp_path, Problems(skip=True))
    problems = Problems(skip=True)
    assert len(read_contents(tmp_path, problems, list("abcdefghij")).classes) == 10  # somebody did
    assert len(problems.found) == 1


def test_numbers_and_words(tmp_path):
    plates = {0: "7", 1: "7", 2: "A", 3: "3", 4: "A", 5: "3"}
    write(tmp_path, {**IMAGES, "labels.txt": lines("{}.png {}", plates)})
    with pytest.raises(UserError, match="line 3: the label 'A' is not a number"):
        read_contents(tmp_path, Problems())
    assert found(read_contents(tmp_path, Problems(), ["3", "7", "A"])) == plates


def test_images_that_no_line_names_are_counted(tmp_path):
    problems = Problems()
    text = lines("{}.png {}", {number: LABELS[number] for number in range(3)})
    read_contents(write(tmp_path, {**IMAGES, "labels.txt": text, "a.docx": b""}), problems)
    assert problems.unused == ["4 files (3 .png, 1 .docx)"]
