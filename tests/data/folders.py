"""Folders of images, and what becomes of them."""

import numpy as np
from PIL import Image


def save(folder, name, pixels, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def all_of(source):
    return source[np.arange(len(source))]
