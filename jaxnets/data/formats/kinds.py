"""Kinds of picture files: how their names end, and what a file is that is none."""

import io
from typing import Any

# What Pillow reads, AVIF last: releases before 11.3 do not know it.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
READ = ".png .apng .jpg .jpeg .jpe .jfif .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif"
PHOTOS = ".heic .heif .hif .jxl .dng .cr2 .cr3 .nef .arw .orf .raf .rw2"  # that Pillow does not read
EXTENSIONS = (*READ.split(), *PHOTOS.split())  # a photograph that cannot be read is a fault, not another file

BEGINNINGS = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF",
    b"PK\3\4": "a zip",
    b"\x1f\x8b": "a gzip file",
    b"Rar!": "a RAR archive",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS and not the file itself",
}
BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "a raw photograph",
}  # of files that begin with a length, ftyp
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def why_not(file: Any, where: str) -> str:
    """Returns a sentence about a file in which Pillow finds no image.

    Args:
        file: Path of the file, or a binary file.
        where: Name of the file.

    Examples:
        >>> why_not(io.BytesIO(b""), "a.jpg")
        'a.jpg is empty: use PNG or JPEG'
    """
    if isinstance(file, io.IOBase):
        file.seek(0)
        head = file.read(64)
    else:
        with open(file, "rb") as opened:
            head = opened.read(64)
    if not head:
        return f"{where} is empty: use PNG or JPEG"
    kind = next((kind for start, kind in BEGINNINGS.items() if head.startswith(start)), "")
    if head[4:8] == b"ftyp":
        kind = "HEIC" if head[8:12] in HEIC else BRANDS.get(head[8:12], "a film")
    if kind:
        return f"{where} is {kind}, which cannot be read: convert it to PNG or JPEG"
    return f"{where}: not an image that can be read; use PNG or JPEG"
