"""Any data set that TFDS knows, read by random access from its array_record files without TensorFlow."""

import importlib.util
import os
import socket
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnets.data.source import Dataset, Features, Source
from jaxnets.errors import UserError, lookup

HELD_OUT = ("test", "validation")  # the split to judge by, in order of preference; else a fifth of train
TFDS_HOST = ("storage.googleapis.com", 443)


class TFDSSource:
    """One split of a prepared TFDS data set: `source[i]` decodes the image with Pillow or OpenCV."""

    def __init__(self, records: Any, features: Features, keys: tuple[str, str]):
        self.records, self.features, self.keys = records, features, keys

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns {"x": input, "y": int32 label}."""
        record = self.records[int(index)]
        return {"x": record[self.keys[0]], "y": np.int32(record[self.keys[1]])}


def load_tfds(name: str, known: Mapping[str, Any], *, data_dir: str | None = None) -> Dataset:
    """Opens a TFDS data set, preparing it first where it is missing and TensorFlow and a network are there.

    Args:
        name: what TFDS calls it ("mnist", "cifar10", "name:1.2.3").
        data_dir: where prepared data sets lie; TFDS's own default when left out.
        known: the data sets that need no TFDS, for the error message.

    Raises:
        UserError: TFDS does not know the name, it has no image or label, or it cannot be prepared here.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"data set {name!r} comes from TFDS, which is not installed: pip install tensorflow-datasets; "
            f"known without it: {', '.join(known)}"
        ) from error
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        names = tfds.list_builders(with_community_datasets=False)
        return lookup(known, name, "data set", names, f"the {len(names):,} of TFDS (tensorflow.org/datasets)")
    if not builder.info.splits:
        _prepare(builder)
    keys = builder.info.supervised_keys
    if not keys or len(keys) != 2:
        raise UserError(
            f"the TFDS data set {name!r} has no (input, label) pair: choose one made for classification"
        )
    features = _features(name, builder.info.features, keys)

    def split(expression: str) -> Source:
        return TFDSSource(builder.as_data_source(split=expression), features, keys)

    held_out = next((part for part in HELD_OUT if part in builder.info.splits), None)
    if held_out:
        return Dataset(name, split("train"), split(held_out))
    return Dataset(name, split("train[:80%]"), split("train[80%:]"))


def _features(name: str, features: Any, keys: tuple[str, str]) -> Features:
    image, label = features[keys[0]], features[keys[1]]
    if not hasattr(label, "names"):
        raise UserError(
            f"the label {keys[1]!r} of the TFDS data set {name!r} is not a class: choose another data set"
        )
    if None in image.shape:
        raise UserError(
            f"the images of the TFDS data set {name!r} differ in size: a network needs images of one size"
        )
    return Features(tuple(image.shape), np.dtype(image.np_dtype).name, tuple(label.names))


def _prepare(builder: Any) -> None:
    """Downloads and prepares a data set, or says what is missing at once (TFDS retries for minutes)."""
    where = f"or put its prepared files into {builder.data_dir}"
    name = builder.info.name
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"the TFDS data set {name!r} is not prepared yet, and that needs TensorFlow once: "
            f"pip install 'jaxnets[tfds]', {where}"
        )
    if not _online():
        raise UserError(
            f"the TFDS data set {name!r} is not prepared yet, and there is no network to download it: "
            f"connect and run again, {where}"
        )
    builder.download_and_prepare()


def _online() -> bool:
    if any(os.environ.get(proxy) for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return True  # only the proxy can tell
    try:
        socket.create_connection(TFDS_HOST, timeout=5).close()
    except OSError:
        return False
    return True
