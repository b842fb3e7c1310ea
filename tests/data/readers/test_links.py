"""Links, names in other encodings and zips: every image comes out, or the reason is said."""

import io
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from jaxnets.data.formats.readers import Archive, Problems, read_contents
from jaxnets.errors import UserError
from tests.data.folders import found, numbered, write

IMAGES = {f"{name}/{number}.png": numbered(number) for number, name in enumerate("aabb")}
CLASSES = dict(enumerate("aabb"))


class Info(zipfile.ZipInfo):
    """A member whose name is bytes, without a word about their encoding, as most programs write it."""

    def _encodeFilenameFlags(self):
        return os.fsencode(self.filename), self.flag_bits


def pack(folder, path):
    """What `tar cf` and `zip -y` make of a folder: links stay links."""
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            tar.add(folder, ".")
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            info = Info(file.relative_to(folder).as_posix() + "/" * (file.is_dir() and not file.is_symlink()))
            info.create_system, info.external_attr = 3, file.lstat().st_mode << 16
            packed.writestr(
                info, os.readlink(file) if file.is_symlink() else b"" if file.is_dir() else file.read_bytes()
            )
    return path


@pytest.fixture(params=["folder", ".tar", ".zip"])
def packed(request, tmp_path):
    """Returns a folder as it is, as a tar or as a zip; then it is gone."""

    def make(folder):
        if request.param == "folder":
            return folder
        path = pack(folder, tmp_path / f"packed{request.param}")
        shutil.rmtree(folder)
        return path

    return make


def test_links_are_followed_wherever_they_lead_in_there(packed, tmp_path):
    folder = write(tmp_path / "photos", IMAGES)
    write(folder, {"b/9.png": Path("../a/0.png"), "c": Path("b"), "d/e.png": Path("../c/3.png")})
    os.link(folder / "a" / "1.png", folder / "d" / "hard.png")
    archive = Archive(packed(folder))
    names = [*IMAGES, "b/9.png", "c/2.png", "c/3.png", "c/9.png", "d/e.png", "d/hard.png"]
    assert list(archive.names) == sorted(names)
    assert archive.lost == []
    read = dict(archive.read(archive.names))
    assert read == IMAGES | {
        "b/9.png": IMAGES["a/0.png"],
        "c/2.png": IMAGES["b/2.png"],
        "c/3.png": IMAGES["b/3.png"],
        "c/9.png": IMAGES["a/0.png"],
        "d/e.png": IMAGES["b/3.png"],
        "d/hard.png": IMAGES["a/1.png"],
    }
    assert dict(archive.read(["c/2.png"])) == {"c/2.png": IMAGES["b/2.png"]}


def test_class_folders_that_are_links(packed, tmp_path):
    write(tmp_path / "photos" / ".store", IMAGES)
    write(tmp_path / "photos", {name: Path(f".store/{name}") for name in "ab"})
    assert found(read_contents(packed(tmp_path / "photos"), Problems())) == CLASSES


def test_class_folders_that_are_links_to_elsewhere_on_the_disk(tmp_path):
    write(tmp_path / "store", IMAGES)
    write(tmp_path / "photos", {name: tmp_path / "store" / name for name in "ab"})
    assert found(read_contents(tmp_path / "photos", Problems())) == CLASSES


@pytest.mark.parametrize(
    "target, why",
    [
        ("nothing.png", "is a link to nothing"),
        ("9.png", "is a link to"),
        ("/etc", "is a link to"),
        ("..", "is a link to a folder that it lies in"),
    ],
)
def test_links_that_lead_to_nothing_are_faults(packed, tmp_path, target, why):
    if target == "/etc" and packed(tmp_path) == tmp_path:
        pytest.skip("on a disk it is followed")
    source = packed(write(tmp_path / "photos", {**IMAGES, "b/9.png": Path(target)}))
    with pytest.raises(UserError, match=rf"b/9\.png.* {why}"):
        read_contents(source, Problems())
    problems = Problems(skip=True)
    assert found(read_contents(source, problems)) == CLASSES
    assert len(problems.found) == 1


def test_links_that_double_end(packed, tmp_path):
    folder = write(tmp_path / "photos", {f"f40/{name}": image for name, image in IMAGES.items()})
    for level in range(40):
        write(folder, {f"f{level}/{name}": Path(f"../f{level + 1}") for name in "xy"})
    archive = Archive(packed(folder))
    assert len(archive.names) < 40 * 16 * len(IMAGES)
    assert any("is one of more than 16 links to a folder" in message for message in archive.lost)


def test_members_that_lead_outside_are_faults(tmp_path):
    with (
        tarfile.open(tmp_path / "evil.tar", "w") as tar,
        zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed,
    ):
        for name, content in {
            **IMAGES,
            "../../b/9.png": IMAGES["b/2.png"],
            "/a/abs.png": IMAGES["a/0.png"],
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            packed.writestr(name, content)
    for path in (tmp_path / "evil.tar", tmp_path / "evil.zip"):
        archive = Archive(path)
        assert archive.names == ("a/0.png", "a/1.png", "a/abs.png", "b/2.png", "b/3.png")
        assert archive.lost == [f"../../b/9.png in {path} lies outside, or too deep"]


def test_pipes_and_devices_are_not_opened(tmp_path):
    folder = write(tmp_path / "photos", IMAGES)
    os.mkfifo(folder / "b" / "pipe.png")
    for source in (folder, pack(folder, tmp_path / "p.tar")):
        assert [message.split(" ", 1)[1].split("is ")[-1] for message in Archive(source).lost] == [
            "neither a file nor a folder"
        ]


@pytest.mark.parametrize("encoding", ["gbk", "latin-1", "big5"])
def test_images_whose_names_are_in_another_encoding(packed, tmp_path, encoding):
    name = os.fsdecode(("café" if encoding == "latin-1" else "貓").encode(encoding))
    images = {f"{letter}/{name}{number}.png": numbered(number) for number, letter in enumerate("aabb")}
    source = packed(write(tmp_path / "photos", images))
    assert found(read_contents(source, Problems())) == CLASSES


@pytest.mark.parametrize("encoding, names", [("gbk", "猫狗"), ("latin-1", "éß"), ("utf-8", "猫é")])
def test_classes_whose_names_are_in_another_encoding_are_asked_about(packed, tmp_path, encoding, names):
    images = {
        f"{os.fsdecode(name.encode(encoding))}/{number}.png": numbered(number)
        for number, name in enumerate(names * 2)
    }
    source = packed(write(tmp_path / "photos", images))
    if encoding != "utf-8":
        with pytest.raises(
            UserError, match=r"\\x.. is not in UTF-8: give the encoding, such as --encoding gbk|\\x"
        ):
            read_contents(source, Problems(skip=True))
    assert found(read_contents(source, Problems(), encoding=encoding)) == dict(enumerate(names * 2))
    for unknown in ("klingon", "utf-16", "rot13", "base64"):
        with pytest.raises(UserError, match=f"the encoding '{unknown}' of names is unknown"):
            read_contents(source, Problems(), encoding=unknown)


def test_one_name_written_in_two_ways_is_one(tmp_path):
    images = {
        "caf\u00e9/0.png": numbered(0),
        "tea/1.png": numbered(1),
        "train.csv": "cafe\u0301/0.png,0\ntea/1.png,1\n",
    }
    assert found(read_contents(write(tmp_path, images), Problems())) == {0: "0", 1: "1"}


def test_a_zip_as_windows_and_a_mac_make_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in IMAGES.items():
            packed.writestr(zipfile.ZipInfo("photos\\" + name.replace("/", "\\")), content)
            packed.writestr("__MACOSX/" + name.replace("/", "/._"), b"x")
        packed.writestr("photos\\Thumbs.db", b"x")
    problems = Problems()
    assert found(read_contents(tmp_path / "photos.zip", problems)) == CLASSES
    assert problems.unused == []


def test_zips_that_cannot_be_read_are_refused_in_a_sentence(tmp_path):
    path = pack(write(tmp_path / "photos", IMAGES), tmp_path / "photos.zip")
    whole = path.read_bytes()
    for length in range(4, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"photos\.zip is neither a folder nor a complete zip"):
            Archive(path)
    # the image in the central directory: flags at 8, method at 10, size at 24, name at 46
    first = whole.index(b"a/0.png", whole.index(b"PK\1\2")) - 46
    for at, value, message in (
        (8, b"\1", "is encrypted: unpack it with its password"),
        (10, b"\x0e", "is packed in another way than by deflate"),
        (24, b"\xff\xff\xff\x7f", r"would unpack from [\d,]+ bytes to 2,147,483,647"),
        (24, b"\0\0\x10\0", "states that it holds 1,048,576 bytes, more than can be in it"),
        (24, b"\1\0\0\0", "neither a folder nor a complete zip"),
    ):
        path.write_bytes(whole[: first + at] + value + whole[first + at + len(value) :])
        with pytest.raises(UserError, match=message):
            dict(Archive(path).read(["a/0.png"]))


def test_a_zip_that_unpacks_to_far_more_than_it_has_bytes_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/0.png", bytes(130 << 20))  # 0.1 MB
    with pytest.raises(UserError, match=r"a/0\.png in .* would unpack from [\d,]+ bytes to 136,314,880"):
        dict(Archive(path).read(["a/0.png"]))


def test_a_zip_whose_members_overlap_is_refused(tmp_path):
    """As in Fifield's bomb, where every member of thousands has the same contents."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/0.png", numbered(0, side=100))
        for number in range(1, 100):
            info = zipfile.ZipInfo(f"a/{number}.png")
            vars_of = packed.infolist()[0]
            for key in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "flag_bits"):
                setattr(info, key, getattr(vars_of, key))
            packed.filelist.append(info)
    with pytest.raises(UserError, match="its members overlap"):
        Archive(path)


def test_the_modes_of_members_are_not_trusted(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        info = zipfile.ZipInfo("a/link.png")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, b"../" * 3000)  # a path of 9,000 bytes
    with pytest.raises(UserError, match=r"a/link\.png in .* is a link of 9,000 bytes, 4,096 at most"):
        Archive(tmp_path / "x.zip")
