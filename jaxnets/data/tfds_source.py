"""Any data set that TFDS knows or has prepared, read by random access without TensorFlow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.formats.images import decode, scale
from jaxnets.data.formats.prepare import download
from jaxnets.data.formats.prepared import (
    FORMAT,
    check_name,
    data_root,
    find_prepared,
    import_tfds,
    list_prepared,
)
from jaxnets.data.formats.readers.contents import SPLITS
from jaxnets.data.source import Dataset, Features, describe
from jaxnets.data.tfds_features import feature_at, kind_of, roles
from jaxnets.errors import UserError, lookup, reason

SAMPLED = 64  # examples that tell whether a part has labels


class TFDSSource:
    """One split of a prepared TFDS data set.

    Args:
        records: The records, as `builder.as_data_source` returns them.
        parts: The paths of TFDS's features for "x", "y" and "boxes".
        features: The features of an example; images of another size are scaled to its shape.
    """

    def __init__(self, records: Any, parts: Mapping[str, str], features: Features):
        self.records, self.parts, self.features = records, dict(parts), features
        info = records.dataset_info
        self._held = {key: feature_at(info.features, part) for key, part in parts.items()}
        self._mixed_sizes = "x" in parts and None in self._held["x"].shape
        self._where = f"{info.full_name} in {info.data_dir}"
        self._kinds = {key: kind_of(feature) for key, feature in self._held.items()}

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self.records)

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """Returns one example, or a batch for an array of indices.

        If the images differ in size, "size" holds the (height, width) of each before scaling.

        Raises:
            UserError: If a record is damaged, or has no label.
        """
        if not np.ndim(index):
            return next(self._examples([int(index)]))
        batch: dict[str, np.ndarray] = {}
        for row, example in enumerate(self._examples(np.asarray(index).tolist())):
            # Each is put in place at once: stacking a list of large images costs a third of their decoding.
            for key, value in example.items():
                if not row:
                    batch[key] = _empty((len(index), *np.shape(value)), np.asarray(value).dtype)
                batch[key][row] = value
        return batch

    def labels(self) -> np.ndarray:
        """Returns the labels of all examples, without decoding their inputs."""
        only = TFDSSource(self.records, {"y": self.parts["y"]}, self.features)
        chunks = np.array_split(np.arange(len(self)), -(-len(self) // 1024))
        return np.concatenate([only[rows]["y"] for rows in chunks])

    __repr__ = describe

    def has_labels(self) -> bool:
        """Whether examples spread over all of them have labels: -1 stands for labels that are kept secret."""
        rows = np.unique(np.linspace(0, len(self) - 1, SAMPLED).astype(int))
        return all(-1 not in values["y"].int64_list.value for values in self._values(rows.tolist()))

    def stored(self, rows: np.ndarray) -> Iterator[bytes]:
        """Yields examples as they are stored, not decoded."""
        for values in self._values(rows.tolist()):
            yield b"".join(values[key].SerializeToString(deterministic=True) for key in sorted(values))

    def _values(self, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yields the parts of the examples as they are in the proto."""
        from tensorflow_datasets.proto import tf_example_pb2

        with _reading(f"an example of {self._where}"):
            for record in self.records.data_source.__getitems__(rows):
                values = tf_example_pb2.Example.FromString(record).features.feature
                yield {key: values[part] for key, part in self.parts.items()}

    def _examples(self, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yields decoded examples; straight from the proto where possible, six times as fast as TFDS does."""
        with _reading(f"an example of {self._where}"):
            if None in self._kinds.values():
                features = self.records.dataset_info.features
                for row, record in zip(rows, self.records.data_source.__getitems__(rows), strict=True):
                    whole = features.deserialize_example_np(record)
                    found = {key: feature_at(whole, part) for key, part in self.parts.items()}
                    yield self._in_form(row, found)
                return
            for row, values in zip(rows, self._values(rows), strict=True):
                yield self._in_form(row, {key: self._value(key, value) for key, value in values.items()})

    def _in_form(self, row: int, example: dict[str, Any]) -> dict[str, Any]:
        """Returns an example in the form that the features describe."""
        if not 0 <= example["y"] < len(self.features.classes):
            raise UserError(
                f"example {row} of {self._where} has the label {example['y']}, and the classes are 0 to "
                f"{len(self.features.classes) - 1}: choose a part with labels"
            )
        if self._mixed_sizes:
            example["size"] = np.array(example["x"].shape[:2], np.int32)
        if "x" in example:
            if example["x"].shape != self.features.shape:
                height, width, channels = self.features.shape
                example["x"] = scale(example["x"], channels, (height, width))
            example["x"] = np.asarray(example["x"], self.features.dtype)
        return {**example, "y": np.int32(example["y"])}

    def _value(self, key: str, value: Any) -> Any:
        kind, feature = self._kinds[key], self._held[key]
        if kind == "label":
            return value.int64_list.value[0]
        if kind == "numbers":
            return np.array(value.float_list.value, np.float32).reshape(feature.shape)
        content = value.bytes_list.value[0]
        if kind == "bytes":
            return np.frombuffer(content, np.uint8).reshape(feature.shape)
        return decode(content, feature.shape[-1], f"an image of {self._where}")


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turns whatever array_record, protobuf and TFDS raise on damaged files into a UserError."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{what} cannot be read ({reason(error)}): prepare the data set again") from error


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Returns an array that begins at a multiple of 64 bytes, so that JAX takes it over without a copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def load_tfds(
    name: str,
    known: Mapping[str, Any],
    *,
    data_dir: str | PathLike | None = None,
    train: str | None = None,
    test: str | None = None,
    keys: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
    boxes: str | None = None,
) -> Dataset:
    """Opens a TFDS data set, first preparing it if necessary and if TensorFlow and a network are available.

    Args:
        name: Its name in TFDS, or that under which it was prepared here ("mnist", "cifar10:3.0.2",
            "name/config").
        known: The data sets that need no TFDS, for the error message.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        train: TFDS split expression of the training part, such as "train[10%:25%]". By default the split
            named train.
        test: TFDS split expression of the held-out part. By default the test split, else the validation
            split (by any usual name), whichever has labels, else the last fifth of the training part.
        keys: Paths of the input and the label, such as ("image", "label"). By default TFDS's supervised keys.
        size: (height, width) to scale all images to; required if they differ in size.
        boxes: Path of a bounding-box feature to add to the examples, (4,) as in TFDS: the edges ymin, xmin,
            ymax, xmax as fractions of the image.

    Raises:
        NotAtHand: If TFDS has the data set, but it is not prepared and cannot be prepared here.
        UserError: If TFDS has no such data set, its features are not an image or numbers and a class, or a
            split is wrong or has no labels.
    """
    check_name(name)
    root = data_root(data_dir)
    builder = _builder(name, known, root)
    parts, features = roles(name, builder.info, keys, size, boxes)
    splits = builder.info.splits

    def part(expression: str) -> TFDSSource:
        try:
            return TFDSSource(builder.as_data_source(split=expression), parts, features)
        except (ValueError, KeyError, AssertionError, OSError) as error:
            raise UserError(
                f"{name} has no split {expression!r}, only {', '.join(splits)} ({reason(error)})"
            ) from error

    learn = train or next(iter(_named("train", splits)), None)
    if learn is None:
        raise UserError(
            f"{name} has the splits {', '.join(splits)}, and none is named train: name the parts in Python, "
            f"data.load({name!r}, train=..., test=...)"
        )
    usual = [*_named("test", splits), *_named("validation", splits)]
    judge = test or next((one for one in usual if part(one).has_labels()), None)
    if judge is None and learn in splits and (count := splits[learn].num_examples) > 1:
        fifth = max(1, count // 5)
        learn, judge = f"{learn}[:-{fifth}]", f"{learn}[-{fifth}:]"
    if judge is None:
        raise UserError(f"{name} has no test split: name the part to hold out beside {learn!r}")
    sources = part(learn), part(judge)
    for expression, source in zip((learn, judge), sources, strict=True):
        if not source.has_labels():
            raise UserError(
                f"the part {expression!r} of {name} holds examples without a label: choose another"
            )
    given = {"train": train, "test": test, "keys": keys, "size": size, "boxes": boxes}
    options = {"data_dir": str(root.absolute())} | {key: value for key, value in given.items() if value}
    return Dataset(name, *sources, options=options)


def _builder(name: str, known: Mapping[str, Any], root: Path) -> Any:
    """Returns the TFDS builder of a prepared data set, or of one that it prepares."""
    tfds = import_tfds(f"the data set {name!r}, unlike {' and '.join(known)},")
    if folder := find_prepared(root, name):
        try:
            with _reading(f"the description of {name} in {folder}"):
                return tfds.builder_from_directory(folder)
        except UserError as error:
            if not isinstance(error.__cause__, ImportError):
                raise
            raise UserError(
                f"{name} in {folder} has features, such as audio or video, that TFDS cannot open without "
                f"{error.__cause__.name}: only images and arrays of numbers can be learned from"
            ) from error
    try:
        builder = tfds.builder(name, data_dir=str(root), file_format=FORMAT)
    except tfds.core.DatasetNotFoundError:
        here = {**known, **dict.fromkeys(item.name for item in list_prepared(root))}
        names = tfds.list_builders(with_community_datasets=False)
        return lookup(
            here,
            name,
            "data set",
            names,
            f"the {len(names):,} of TFDS (tensorflow.org/datasets); it is not prepared in {root}",
        )
    except (ValueError, AssertionError, ImportError) as error:
        raise UserError(
            f"TFDS cannot build the data set {name!r} ({reason(error)}): give a NAME, NAME/CONFIG or "
            "NAME:VERSION of tensorflow.org/datasets"
        ) from None  # its own message lists hundreds of names
    download(builder)
    return builder


def _named(kind: str, splits: Mapping[str, Any]) -> list[str]:
    """Returns the splits of this kind by their names that are not empty, the one of just that name first."""
    named = [name for name in splits if SPLITS.get(name.lower()) == kind and splits[name].num_examples]
    return sorted(named, key=lambda name: name != kind)
