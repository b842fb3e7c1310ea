"""python -m jaxnets data prepare | convert | list | show."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from jaxnets import hints
from jaxnets.data.formats.form import Store
from jaxnets.errors import UserError

if TYPE_CHECKING or not importlib.util.find_spec("tyro"):  # commandline.run says what to install
    Name: TypeAlias = str
    SourcePath: TypeAlias = Path
else:
    from tyro.conf import Positional, arg

    Name = Annotated[Positional[str], arg(metavar="NAME")]
    SourcePath = Annotated[Positional[Path], arg(metavar="SOURCE")]

MOST = 64  # images in a row of a picture


def prepare(
    source: SourcePath,
    /,
    *,
    name: str,
    data_dir: Path | None = None,
    classes: tuple[str, ...] = (),
    size: tuple[int, int] | None = None,
    channels: Literal[1, 3] | None = None,
    keep_sizes: bool = False,
    store: Store = "auto",
    first_label: int | None = None,
    encoding: str = "utf-8",
    on_error: Literal["stop", "skip"] = "stop",
) -> None:
    """Prepare a data set from files on disk; then train on it with --dataset NAME.

    Args:
        source: Folder, tar (plain, gz, bz2 or xz) or zip; it stays packed. It holds IDX files (MNIST), CIFAR
            batches, images and a text file with a line `image label` for each, or images in folders named
            after their class, with or without folders train and test above them.
        name: Name of the new data set: lowercase letters, digits and underscores; not one that TFDS knows.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        classes: Names of the labels, if the files have only numbers, or of the folders that are classes.
        size: Height and width to scale all images to. By default all must have the same size.
        channels: 1 to convert all images to grey, 3 to colour. By default all must be alike.
        keep_sizes: Let images differ in size.
        store: How to store images: as pixels, fastest to read, or as files (PNG or JPEG), smaller on disk.
            By default pixels for images up to 64 x 64, and files for larger ones.
        first_label: The smallest label, if labels are numbers. By default 0, which must be among them.
        encoding: Encoding of names and label files that are not UTF-8, such as gbk, big5 or latin-1.
        on_error: What to do about a faulty file or line: stop, or skip it and list it at the end.
    """
    from jaxnets.data.formats import prepare
    from jaxnets.data.formats.prepared import import_tfds

    prepare.check_free(name, data_dir)
    if name in import_tfds("data prepare").list_builders(with_community_datasets=False):
        raise UserError(f"{name} is the name of a data set of TFDS: choose another, such as my_{name}")
    builder, problems = prepare.prepare(
        source,
        name,
        data_dir=data_dir,
        classes=classes or None,
        size=size,
        channels=channels,
        keep_sizes=keep_sizes,
        store=store,
        first_label=first_label,
        encoding=encoding,
        skip_errors=on_error == "skip",
    )
    for message in problems.found:
        print(f"left out: {message}")
    for message in problems.unused:
        print(f"not used: {message}")
    left_out = len(problems.found)
    splits = sorted(builder.info.splits.items(), reverse=True)
    parts = ", ".join(f"{split.num_examples:,} {part}" for part, split in splits)
    print(f"{name}: {parts}" + (f", {left_out:,} left out" if left_out else ""))
    where = ["--data-dir", data_dir] if data_dir else []
    print(f"prepared in {builder.data_dir}; look at it with: {hints.jaxnets('data', 'show', name, *where)}")


def convert(name: Name, /, *, data_dir: Path | None = None) -> None:
    """Add array_record files to a data set that TFDS prepared as tfrecord; needs no TensorFlow.

    Args:
        name: Name of the data set.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    from jaxnets.data.formats.prepared import convert, data_root

    print(f"{name} can be read now: {convert(data_root(data_dir), name)}")


def list_(*, data_dir: Path | None = None) -> None:
    """List the data sets on this machine.

    Args:
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    from jaxnets.data.embedded import EMBEDDED
    from jaxnets.data.formats.prepared import data_root, list_prepared

    root = data_root(data_dir)
    for name in EMBEDDED:
        print(f"{name:24} embedded (scikit-learn)")
    for item in list_prepared(root):
        parts = ", ".join(f"{count:,} {part}" for part, count in sorted(item.splits.items(), reverse=True))
        print(f"{item.name:24} {item.version:10} {parts} ({', '.join(item.formats)})")
    print(f"and any TFDS data set by name (tensorflow.org/datasets); prepared ones lie in {root}")


def show(
    name: Name,
    /,
    *,
    data_dir: Path | None = None,
    picture: Path | None = None,
    augment: tuple[str, ...] = (),
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest",
    count: int = 8,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    keys: tuple[str, str] | None = None,
) -> None:
    """Count the examples of every class, print the first ones and draw some, with --augment before and after.

    Args:
        name: Name of the data set.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        picture: PNG file to draw. By default NAME.png.
        augment: Augmentation steps, each as NAME, NAME=A or NAME=A:B: rotation=45 shift=0.15 zoom=0.5 ...
        fill: How to fill the area outside an image that is rotated or shifted.
        count: Number of images in a row.
        seed: Seed of the choice of images and of the augmentation.
        size: Height and width to scale images to, required if they differ in size.
        keys: Names of the input and the label among the features of a TFDS data set. By default those that it
            names itself.
    """
    if count > MOST:
        raise UserError(f"--count {count}: a row of more than {MOST} images cannot be seen")
    import jax
    import numpy as np

    from jaxnets import data, plots
    from jaxnets.data.augment import compose_for, parse

    dataset = data.load(name, data_dir=data_dir, size=size, keys=keys)
    features = dataset.features
    if not features.classes:
        raise UserError(f"{name} has no classes to count")
    counts = [
        np.bincount(part.labels(), minlength=len(features.classes)) for part in (dataset.train, dataset.test)
    ]
    shape = " x ".join(map(str, features.shape))
    print(f"{name}: {len(dataset.train):,} examples to learn from, {len(dataset.test):,} held out; {shape}")
    for label, *parts in zip(features.classes, *counts, strict=True):
        print(f"{label:24} {parts[0]:9,} {parts[1]:9,}")
    print("\n".join(_first(name, dataset.train)))
    change: Any = compose_for(features, parse(augment), fill)
    if len(features.shape) != 3 or features.dtype != "uint8":
        return
    picture = picture or Path(f"{name.replace('/', '-').replace(':', '-')}.png")
    rows = 4
    batch = next(data.Batches(dataset.train, count if change else rows * count, seed).epoch())
    images, titles = [*batch["x"]], [features.classes[label] for label in batch["y"]]
    for step in range(rows if change else 0):
        images += [*np.asarray(jax.jit(change)(jax.random.PRNGKey(seed), step, batch)["x"])]
        titles += [""] * count
    plots.images(images, titles, picture, columns=count)
    print(f"{picture}: {f'before augmentation, and {rows} times after it' if change else 'some of them'}")


def _first(name: str, source: Any, most: int = 5) -> list[str]:
    """Returns the first examples in words: rows of a table under their columns; shape and range of others."""
    from jaxnets.data.embedded import COLUMNS

    classes, shape = source.features.classes, source.features.shape
    rows = [source[index] for index in range(min(most, len(source)))]
    told = [classes[int(row["y"])] for row in rows]
    if len(shape) > 1:
        size = " x ".join(map(str, shape))
        return [
            f"example {index}: {label}, {size} {row['x'].dtype}, {row['x'].min():g} to {row['x'].max():g}"
            for index, (label, row) in enumerate(zip(told, rows, strict=True))
        ]
    columns = COLUMNS.get(name, tuple(f"x{number}" for number in range(shape[0])))[:MOST]
    table = [("", *columns, "class")]
    for index, (label, row) in enumerate(zip(told, rows, strict=True)):
        table.append((str(index), *(f"{value:g}" for value in row["x"][: len(columns)]), label))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:>{wide}}" for cell, wide in zip(line, widths, strict=True)) for line in table]


COMMANDS: dict[str, Callable[..., None]] = {
    "prepare": prepare,
    "convert": convert,
    "list": list_,
    "show": show,
}
