"""Examples per second that reach the device: jaxnets, tf.data and PyTorch's DataLoader on the same JPEGs.

    python -m experiments.benchmarks.data_pipeline

Every pipeline ends with batches of float32 images between 0 and 1 in memory, reshuffled in every epoch, with
one random affine change and a flip per image where augmented. "every epoch" decodes each JPEG in each epoch;
"once" decodes it before the first, as jaxnets does when it prepares small images, tf.data with cache(), and
PyTorch with the images in an array. The pipelines take turns, and the best round of each counts, so that
other work on the machine affects all of them alike. Needs TensorFlow and PyTorch besides jaxnets.
"""

from jaxnets.cli import commandline

from jaxnets import data
from jaxnets.data.augment import compose, parse
from jaxnets.data.device import gather, on_device, read_all
from jaxnets.data.formats.prepare import prepare
from jaxnets.train import normalize

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import jax
import numpy as np

BATCH = 64
CHANGES = ["rotation=15", "shift=0.1", "zoom=0.8:1.2", "horizontal_flip"]
WORKERS = os.cpu_count() or 1
Epoch = Callable[[], object]  # runs through all examples once


def main(*, rounds: int = 3, sizes: tuple[int, ...] = (28, 32, 224)) -> dict[str, float]:
    """Print a table of examples per second.

    Args:
        rounds: Timed epochs of every pipeline, after one that does not count.
        sizes: Sizes of the images: 28 (grey, 10,000 of them), 32 (colour, 10,000) and 224 (colour, 2,000).
    """
    best: dict[str, float] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            files = write_images(Path(folder) / "images", size, 2_000 if size > 100 else 10_000)
            shape = (size, size, 1 if size == 28 else 3)
            sources = {}
            for store in ("pixels", "files"):
                prepare(Path(folder) / "images", store, data_dir=Path(folder), store=store)
                sources[store] = data.load(store, data_dir=Path(folder), test="train").train
            for augmented in (False, True):
                ways = {
                    "jaxnets resident": jaxnets_way(sources["pixels"], augmented, resident=True),
                    "jaxnets from memory, once": jaxnets_way(read_all(sources["pixels"]), augmented),
                    "jaxnets streamed, once": jaxnets_way(sources["pixels"], augmented),
                    "tf.data, once": tf_way(files, shape, augmented, once=True),
                    "DataLoader, once": torch_way(files, shape, augmented, once=True),
                    "jaxnets streamed, every epoch": jaxnets_way(sources["files"], augmented),
                    "tf.data, every epoch": tf_way(files, shape, augmented, once=False),
                    "DataLoader, every epoch": torch_way(files, shape, augmented, once=False),
                }
                for number in range(rounds + 1):
                    for name, epoch in ways.items():
                        start = time.perf_counter()
                        epoch()
                        rate = len(files) / (time.perf_counter() - start)
                        key = f"{size} x {size}{', augmented' if augmented else ''}: {name}"
                        best[key] = max(best.get(key, 0), rate if number else 0)
                for key in list(best)[-len(ways) :]:
                    print(f"{key:60} {best[key]:>12,.0f}", flush=True)
    return best


def write_images(folder: Path, size: int, number: int) -> list[str]:
    """Writes random crops of two photographs as JPEG files of quality 75; grey ones of size 28."""
    from PIL import Image

    for photo in "01":
        (folder / photo).mkdir(parents=True)
    photos, rng = data.photos().x, np.random.default_rng(0)
    for index in range(number):
        height, width = photos.shape[1:3]
        side = int(rng.integers(224, height))
        top, left = rng.integers(0, height - side), rng.integers(0, width - side)
        image = Image.fromarray(photos[index % 2, top : top + side, left : left + side]).resize((size, size))
        image.convert("L" if size == 28 else "RGB").save(folder / f"{index % 2}" / f"{index}.jpg", quality=75)
    return sorted(map(str, folder.glob("*/*.jpg")))


def jaxnets_way(source: data.Source, augmented: bool, resident: bool = False) -> Epoch:
    """Batches as fit takes them, normalized and augmented in one compiled function."""
    feed = on_device(data.Batches(source, BATCH, seed=0), resident)
    augment: Any = compose(*parse(CHANGES)) if augmented else lambda key, step, batch: batch
    epochs = count()

    @jax.jit
    def step(number: int, batch: Any) -> jax.Array:
        return normalize(augment(jax.random.PRNGKey(0), number, gather(batch))["x"])

    def epoch() -> object:
        for number, batch in enumerate(feed.epoch(next(epochs))):
            done = step(number, batch)
        return jax.block_until_ready(done)

    return epoch


def tf_way(files: list[str], shape: tuple[int, ...], augmented: bool, *, once: bool) -> Epoch:
    """tf.data, which chooses its own parallelism."""
    import tensorflow as tf

    def read(name: Any) -> Any:
        return tf.ensure_shape(tf.io.decode_jpeg(tf.io.read_file(name), channels=shape[2]), shape)

    def change(images: Any) -> Any:
        number, (height, width) = tf.shape(images)[0], (float(shape[0]), float(shape[1]))
        angle = tf.random.uniform([number], -np.pi / 12, np.pi / 12)
        zoom_y, zoom_x = (tf.random.uniform([number], 0.8, 1.2) for _ in range(2))
        zoom_x *= tf.where(tf.random.uniform([number]) < 0.5, -1.0, 1.0)
        shift_y, shift_x = (tf.random.uniform([number], -0.1, 0.1) * side for side in (height, width))
        a, b = tf.cos(angle) * zoom_x, -tf.sin(angle) * zoom_y
        c, d = tf.sin(angle) * zoom_x, tf.cos(angle) * zoom_y
        x, y, zeros = (width - 1) / 2, (height - 1) / 2, tf.zeros([number])
        rows = [a, b, x + shift_x - a * x - b * y, c, d, y + shift_y - c * x - d * y, zeros, zeros]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack(rows, axis=1),
            output_shape=tf.constant(shape[:2]),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )

    def prepare(images: Any) -> Any:
        images = tf.cast(images, tf.float32) / 255
        return change(images) if augmented else images

    automatic = tf.data.AUTOTUNE
    names = tf.data.Dataset.from_tensor_slices(files)
    if once:
        images = names.map(read, automatic).cache().shuffle(len(files))
    else:
        images = names.shuffle(len(files)).map(read, automatic)
    batches = images.batch(BATCH).map(prepare, automatic).prefetch(automatic)
    return lambda: sum(1 for _ in batches)


class TorchImages:
    """A map-style data set: files to decode, or images that are decoded already."""

    def __init__(self, files: list[str], channels: int, once: bool):
        self.mode = "L" if channels == 1 else "RGB"
        self.contents: list[Any] = [self.decode(file) for file in files] if once else files

    def decode(self, file: str) -> np.ndarray:
        from PIL import Image

        pixels = np.array(Image.open(file).convert(self.mode))
        return pixels.reshape(*pixels.shape[:2], -1)

    def __len__(self) -> int:
        return len(self.contents)

    def __getitem__(self, index: int) -> np.ndarray:
        content = self.contents[index]
        return self.decode(content) if isinstance(content, str) else content


def torch_batch(augmented: bool, images: list[np.ndarray]) -> Any:
    """In the worker: stacks, normalizes and augments a whole batch at once, which is fastest."""
    import torch
    from torch.nn import functional

    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    if not augmented:
        return batch
    number = len(batch)
    angle = (torch.rand(number) - 0.5) * np.pi / 6
    zoom_x, zoom_y = torch.rand(2, number) * 0.4 + 0.8
    zoom_x *= torch.where(torch.rand(number) < 0.5, -1.0, 1.0)
    shift_x, shift_y = (torch.rand(2, number) - 0.5) * 0.4
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [cos * zoom_x, -sin * zoom_y, shift_x, sin * zoom_x, cos * zoom_y, shift_y]
    matrices = torch.stack(rows, dim=1).reshape(number, 2, 3)
    grid = functional.affine_grid(matrices, list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)


def torch_way(files: list[str], shape: tuple[int, ...], augmented: bool, *, once: bool) -> Epoch:
    """PyTorch's DataLoader with as many worker processes as there are processors."""
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(
        TorchImages(files, shape[2], once),
        BATCH,
        shuffle=True,
        num_workers=WORKERS,
        collate_fn=partial(torch_batch, augmented),
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    return lambda: sum(1 for _ in loader)


if __name__ == "__main__":
    commandline.run(main)
