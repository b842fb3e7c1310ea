"""Folders and tars: the same files come out, and what is cut off is never taken for the whole."""

import io
import tarfile

import pytest

from jaxnets.data.formats.readers import Archive
from jaxnets.errors import UserError

FILES = {"a/one.txt": b"1" * 700, "b/two.txt": b"two", "b/.DS_Store": b"hidden", "c/empty.txt": b""}


def pack(files, mode="w", path=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    if path is not None:
        path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["folder", "w", "w:gz", "w:bz2", "w:xz"])
def test_the_same_files_come_out_of_a_folder_and_of_every_tar(tmp_path, mode):
    path = tmp_path / "files"
    if mode == "folder":
        for name, content in FILES.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    else:
        pack(FILES, mode, path)
    archive = Archive(path)
    assert archive.names == ("a/one.txt", "b/two.txt", "c/empty.txt")
    assert dict(archive.read(archive.names)) == {name: FILES[name] for name in archive.names}
    assert list(archive.read(["b/two.txt"])) == [("b/two.txt", b"two")]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_cut_off_anywhere_is_refused(tmp_path, mode):
    whole, path = pack(FILES, mode), tmp_path / "cut.tar"
    # a plain tar ends with blocks of zeros, of which the first says that it is whole
    end = whole.rstrip(b"\0").__len__() + 512 if mode == "w" else len(whole)
    for length in range(0, end, max(1, end // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.tar is neither a folder nor a complete tar"):
            Archive(path)


def test_damage_between_two_members_is_not_taken_for_the_end(tmp_path):
    whole, path = bytearray(pack(FILES)), tmp_path / "damaged.tar"
    whole[512 + 1024 + 20] ^= 0xFF  # in the header of the second member
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"breaks off after a/one\.txt|\./a/one\.txt"):
        Archive(path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="there is no such file or folder"):
        Archive(tmp_path / "nothing")


def test_members_that_point_outside_are_only_names(tmp_path):
    pack({"../../etc/evil.txt": b"x", "good.txt": b"y"}, path=tmp_path / "evil.tar")
    archive = Archive(tmp_path / "evil.tar")
    assert dict(archive.read(["good.txt"])) == {"good.txt": b"y"}
    assert not list(tmp_path.parent.glob("**/evil.txt"))
