"""Damage to the strings in an HDF5 file that its library does not notice: it never ends, or takes gigabytes.

Strings lie in heaps, and attributes refer to them: the names of layers, and the configuration.
"""

import io
import math
import mmap
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

Source = Path | io.BytesIO

HEAP = b"GCOL\1\0\0\0"  # how a heap begins
HEADER = 16  # bytes before a heap's objects, and before each of them
STRINGS = 9  # the class of types of variable length
REFERENCE = 16  # bytes: length, address of the heap, number in it


def sound(source: Source, attributes: Iterable[str]) -> bool:
    """Whether the heaps in a file, and the references to them in these attributes, have possible sizes."""
    if isinstance(source, io.BytesIO):
        return _sound(source.getvalue(), attributes)
    with source.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as content:
        return _sound(content, attributes)


def _sound(content: Any, attributes: Iterable[str]) -> bool:
    names = [at for name in attributes for at in _places(content, name.encode())]
    possible = all(length <= len(content) for at in names for length in _lengths(content, at))
    return possible and all(_ends(content, at) for at in _places(content, HEAP))


def _places(content: Any, wanted: bytes) -> Iterator[int]:
    at = content.find(wanted)
    while at >= 0:
        yield at
        at = content.find(wanted, at + len(wanted))


def _ends(content: Any, heap: int) -> bool:
    """Whether the objects of a heap follow one another to its end."""
    place, end = heap + HEADER, heap + int.from_bytes(content[heap + 8 : heap + 16], "little")
    while place + HEADER <= min(end, len(content)):
        number, size = struct.unpack_from("<H6xQ", content, place)
        step = HEADER + _padded(size) if number else size  # free space counts its own header
        if step < HEADER:
            return False
        place += step
    return True


def _lengths(content: Any, name: int) -> Iterator[int]:
    """Yields the lengths of the strings in the attribute whose name is here, if it is one of strings."""
    for version, header, pad in ((1, 8, _padded), (2, 8, int), (3, 9, int)):  # the versions of its message
        start = content[max(name - header, 0) : name]
        if len(start) < header or start[0] != version:
            continue
        sizes = struct.unpack_from("<3H", start, 2)  # of the name, the type and the shape
        kind = name + pad(sizes[0])
        shape = kind + pad(sizes[1])
        data = shape + pad(sizes[2])
        if data > len(content) or not sizes[1] or content[kind] & 15 != STRINGS:
            continue
        rank, dimensions = content[shape + 1], shape + (8 if content[shape] == 1 else 4)
        if dimensions + 8 * rank > data:
            continue
        count = math.prod(struct.unpack_from(f"<{rank}Q", content, dimensions))
        for at in range(data, min(data + REFERENCE * count, len(content) - 4), REFERENCE):
            yield int.from_bytes(content[at : at + 4], "little")


def _padded(size: int) -> int:
    return -(-size // 8) * 8
