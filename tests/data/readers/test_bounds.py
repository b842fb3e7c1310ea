"""Files made to fill the memory: refused in a sentence, before they do."""

import bz2
import gzip
import io
import lzma
import pickle
import resource
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxnets import files
from jaxnets.data.formats.images import open_image
from jaxnets.data.formats.readers import Archive
from jaxnets.data.formats.readers.cifar import parse_pickle, parse_python
from jaxnets.data.formats.readers.idx import parse_idx
from jaxnets.data.formats.tables import read_csv
from jaxnets.errors import UserError

GIB = 1 << 30


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    """A smaller bound, which takes less time to reach; no test here takes more than 600 MB."""
    monkeypatch.setattr(files, "UNPACKED", 1 << 22)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB


def header(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def zeros(compressor, beginning, size):
    """`beginning` and then zeros, compressed without ever being in memory."""
    parts = [compressor.compress(beginning)]
    parts += [compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*parts, compressor.flush()])


COMPRESSORS = {
    "gz": lambda: zlib.compressobj(wbits=31),
    "bz2": bz2.BZ2Compressor,
    "xz": lambda: lzma.LZMACompressor(preset=0),
}


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"X"])
@pytest.mark.parametrize("compression", COMPRESSORS)
def test_tars_that_explode(compression, kind, tmp_path):
    size = 5 << 20
    path = tmp_path / f"bomb.tar.{compression}"
    path.write_bytes(zeros(COMPRESSORS[compression](), header("a/1.png", size, kind), size))
    with pytest.raises(UserError, match=r"bomb.* would unpack from [\d,]+ bytes to [45],"):
        Archive(path)


def test_sparse_members_that_explode(tmp_path):
    with tarfile.open(tmp_path / "sparse.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a/1.png")
        info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(8 * GIB)}
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(UserError, match=r"a/1.png in .*sparse.tar would unpack from .* to 8,589,934,592"):
        Archive(tmp_path / "sparse.tar")


def test_members_larger_than_their_tar(tmp_path):
    for kind in (tarfile.REGTYPE, tarfile.XHDTYPE):
        (tmp_path / "short.tar").write_bytes(header("a/1.png", 4 * GIB, kind) + bytes(1024))
        with pytest.raises(UserError, match=r"would unpack|neither a folder nor a complete tar"):
            Archive(tmp_path / "short.tar")


def test_idx_files_that_explode():
    start = struct.pack(">4B3I", 0, 0, 8, 3, 5, 1024, 1024)
    with pytest.raises(UserError, match=r"x.gz would unpack from [\d,]+ bytes to 4,194,305"):
        parse_idx(zeros(COMPRESSORS["gz"](), start, 5 << 20), "x.gz")
    with pytest.raises(UserError, match="4294967295 x 4294967295 bytes, but there are 0 instead of"):
        parse_idx(struct.pack(">4B2I", 0, 0, 8, 2, 2**32 - 1, 2**32 - 1), "x")
    array = np.zeros((300, 28, 28), np.uint8)  # black images shrink a thousandfold, and are honest
    packed = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, *array.shape) + array.tobytes())
    np.testing.assert_array_equal(parse_idx(packed, "x"), array)


def png(width, height):
    """A PNG that says it has that many pixels."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    size = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    chunks = [chunk(b"IHDR", size), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 30_000])
def test_images_that_explode(side):
    with pytest.raises(UserError, match=r"x.png: .*(pixels are too many|exceeds limit)"):
        open_image(io.BytesIO(png(side, side)), "x.png", check=True)
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 2000)).save(buffer, "PNG")
    assert open_image(buffer, "x.png").size == (3000, 2000)  # an honest one


class Reduce:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_pickles_that_explode():
    labels = [0]
    for _ in range(9):  # 10 ** 9 numbers
        labels = [labels] * 10
    pixels = np.zeros((1, 3072), np.uint8)
    for batch in (
        {b"data": pixels, b"labels": labels},
        {b"data": Reduce(np.ndarray, (10**6, 3072), "u1"), b"labels": Reduce(np.ndarray, (10**6,), "i8")},
    ):
        with pytest.raises(UserError, match="does not hold uint8 data"):
            parse_python(pickle.dumps(batch), "batch")
    for place in (b"r\xff\xff\xff\x7f", b"p2147483647\n"):
        with pytest.raises(UserError, match="cannot be read as a CIFAR batch"):
            parse_pickle(b"\x80\x02}" + place + b".", "batch")


def test_tables_and_settings_without_end(tmp_path):
    (tmp_path / "one-line.csv").write_bytes(b"open\n" + b"1" * (4 << 20))
    with pytest.raises(UserError, match=r"one-line.csv, line 2: it has more than 1,048,576 characters"):
        read_csv(tmp_path / "one-line.csv", ["open"])
    with pytest.raises(UserError, match="is no file"):
        read_csv("/dev/zero", ["open"])
    (tmp_path / "config.json").write_bytes(b"[" * (1 << 25))
    with pytest.raises(UserError, match=r"config.json has more than 16,777,216 bytes"):
        files.read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_bytes(b"[" * 100_000)
    with pytest.raises(UserError, match=r"config.json cannot be read as JSON"):
        files.read_json(tmp_path / "config.json")
