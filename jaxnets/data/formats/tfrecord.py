"""tfrecord files: records one after another, each with the checksum of its length and of its bytes."""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import UserError

BLOCK = 1024  # bytes whose checksum is computed at once


def read_tfrecord(file: Path) -> Iterator[bytes]:
    """Yields the records of a tfrecord file, each stored as a length, its checksum, bytes, their checksum.

    Raises:
        UserError: If the file is cut off, or a checksum is wrong.
    """
    whole = file.stat().st_size
    with file.open("rb") as stream:
        while header := stream.read(12):
            size, checksum = struct.unpack("<QI", header.ljust(12, b"\0"))
            damaged = f"{file} is damaged before byte {stream.tell():,}: prepare the data set again"
            if len(header) < 12 or checksum != masked_crc32c(header[:8]):
                raise UserError(damaged)
            record = stream.read(size + 4) if size <= whole else b""
            if len(record) < size + 4:
                raise UserError(f"{file} is cut off: prepare the data set again")
            if record[-4:] != struct.pack("<I", masked_crc32c(record[:-4])):
                raise UserError(
                    f"{file} is damaged before byte {stream.tell():,}: prepare the data set again"
                )
            yield record[:-4]


def masked_crc32c(content: bytes) -> int:
    """Returns the checksum of tfrecord files: CRC-32C, rotated and offset.

    A CRC is linear: that of a block is the XOR of what each byte at its place contributes, and what comes
    before the block counts as if it were added to its first four bytes.
    """
    table, crc = _contributions(), 0xFFFFFFFF
    xor: Any = np.bitwise_xor  # the types of numpy 2.5 lack its `reduce`
    for start in range(0, len(content), BLOCK):
        block = np.frombuffer(content[start : start + BLOCK], np.uint8).copy()
        block[:4] ^= np.frombuffer(crc.to_bytes(4, "little"), np.uint8)[: len(block)]
        before = crc >> 8 * min(4, len(block))  # of a block shorter than four bytes some is left
        crc = before ^ int(xor.reduce(table[np.arange(len(block) - 1, -1, -1), block]))
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _contributions() -> np.ndarray:
    """Returns what each byte contributes to a CRC-32C, (BLOCK, 256): by the bytes after it, and its value."""
    row: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        row = row >> 1 ^ np.where(row & 1, np.uint32(0x82F63B78), np.uint32(0))
    rows = [first := row]
    for _ in range(BLOCK - 1):  # one more byte of zeros after it
        rows.append(row := first[row & 255] ^ row >> 8)
    return np.stack(rows)
