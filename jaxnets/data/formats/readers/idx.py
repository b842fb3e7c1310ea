"""IDX, the format of the MNIST family (yann.lecun.com/exdb/mnist): a header and the bytes of one array.

The header is two zero bytes, a type (8 is uint8), the number of dimensions, then each as a big-endian uint32.
"""

import math
import posixpath
import re
import struct
from collections.abc import Sequence

import numpy as np

from jaxnets.data.formats.readers.archive import Archive
from jaxnets.data.formats.readers.bounded import gunzip
from jaxnets.data.formats.readers.contents import Contents, Problems, from_arrays, split_of
from jaxnets.errors import UserError

UINT8 = 8
FILE = re.compile(r"(images|labels)[-._]idx[13][-._]ubyte(\.gz)?$")


def parse_idx(content: bytes, where: str) -> np.ndarray:
    """Returns the array in an IDX file, uint8 of the shape in its header.

    Args:
        content: Content of the file, gzipped or not.
        where: Name of the file, for messages.

    Raises:
        UserError: If it is not an IDX file of bytes, or does not hold exactly what its header states.

    Examples:
        >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]), "three.idx")
        array([[7, 8, 9]], dtype=uint8)
    """
    if content[:2] == b"\x1f\x8b":
        content = gunzip(content, where)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UINT8 or not 1 <= content[3] <= 4:
        raise UserError(
            f"{where} does not begin like an IDX file of bytes (0, 0, 8, dimensions) but with "
            f"{list(content[:4])}: it is another kind of file"
        )
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise UserError(f"{where} is cut off within its header: download it again")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    size = math.prod(shape)
    if len(content) - start != size:
        raise UserError(
            f"{where} states that it holds {' x '.join(map(str, shape))} bytes, but there are "
            f"{len(content) - start:,} instead of {size:,}: it is cut off or damaged"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx_files(
    archive: Archive, problems: Problems, classes: Sequence[str] | None, first_label: int | None
) -> Contents | None:
    """Returns the contents of pairs of IDX files (`train-images-idx3-ubyte.gz`, ...); None if there are none.

    Raises:
        UserError: If a file is damaged, its split or its partner is missing, or the two do not match.
    """
    matches = {name: match for name in archive.names if (match := FILE.search(posixpath.basename(name)))}
    if not matches:
        return None
    parts: dict[str, dict[str, tuple[str, np.ndarray]]] = {}
    for name, content in archive.read(matches):
        where, match = archive.where(name), matches[name]
        split = split_of(match.string[: match.start()])
        if split is None:
            raise UserError(f"{where}: its name contains neither train nor test (or t10k)")
        part = parts.setdefault(split, {})
        if match[1] in part:
            raise UserError(f"{where} and {part[match[1]][0]} are both {match[1]} of {split}: keep one")
        part[match[1]] = where, parse_idx(content, where)
    arrays = {}
    for split, part in parts.items():
        if len(part) < 2:
            raise UserError(f"{archive.path} has only {next(iter(part))} of {split}: add the other IDX file")
        (image_file, images), (label_file, labels) = part["images"], part["labels"]
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not images.size:
            raise UserError(
                f"{image_file} holds {_times(images.shape)} bytes and {label_file} {_times(labels.shape)}: "
                "they must be images (N x height x width) and as many labels (N)"
            )
        arrays[split] = images[..., None], labels.astype(np.int64), label_file
    return from_arrays(arrays, matches, problems, classes, first_label)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
