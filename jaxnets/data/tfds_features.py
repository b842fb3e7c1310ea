"""The roles of a TFDS data set's features: which is the input, which the class, and how each is read."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from jaxnets.data.source import Features
from jaxnets.errors import UserError

LARGEST = 4096  # pixels of a side that images can be scaled to


def feature_at(features: Any, path: str) -> Any:
    """Returns the feature, or the value in an example, at a path such as "image" or "pair/left"."""
    return reduce(lambda inner, name: inner[name], path.split("/"), features)


def roles(
    name: str,
    info: Any,
    keys: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
    boxes: str | None = None,
) -> tuple[dict[str, str], Features]:
    """Returns the paths of the TFDS features for "x", "y" and "boxes", and the features of an example.

    Args:
        name: Name of the data set.
        info: Its TFDS `DatasetInfo`.
        keys: Paths of the input and the label. By default TFDS's supervised keys.
        size: (height, width) to scale images to.
        boxes: Path of the bounding box, if it is wanted.

    Raises:
        UserError: If the input is not an image or an array of numbers, or the label not one class.
    """
    what, known, pair = f"the TFDS data set {name!r}", _paths(info.features), keys or info.supervised_keys
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(key, str) for key in pair):
        raise UserError(
            f"{what} does not name one input and one label: name two of {', '.join(known)}, "
            "with --keys INPUT LABEL"
        )
    for key in pair:
        if key not in known:
            raise UserError(f"{what} has no feature {key!r}, only {', '.join(known)}")
    if boxes is not None and (boxes not in known or known[boxes].shape != (4,)):
        raise UserError(f"{name} has no bounding box {boxes!r}, only {', '.join(known)}")
    parts = {"x": pair[0], "y": pair[1]} | ({"boxes": boxes} if boxes else {})
    shape, dtype = _stored_as(what, known[pair[0]], size)
    return parts, Features(shape, dtype, _classes(what, known[pair[1]]))


def kind_of(feature: Any) -> str | None:
    """Returns how a feature is read from the proto; None if TFDS reads it."""
    from tensorflow_datasets import features as tfds

    if isinstance(feature, tfds.ClassLabel):
        return "label"
    if isinstance(feature, tfds.Image):
        return "image" if feature.np_dtype != np.float32 and feature.shape[-1] in (1, 3) else None
    if type(feature) in (tfds.Tensor, tfds.BBoxFeature) and None not in feature.shape:
        stored = feature.np_dtype, feature._encoding
        if stored == (np.uint8, tfds.tensor_feature.Encoding.BYTES):
            return "bytes"
        if stored == (np.float32, tfds.tensor_feature.Encoding.NONE) and feature.shape:
            return "numbers"
    return None


def _paths(features: Any, above: str = "") -> dict[str, Any]:
    """Returns the features by path, sorted; those inside others by theirs, such as "pair/left"."""
    from tensorflow_datasets import features as tfds

    found: dict[str, Any] = {}
    for key, feature in sorted(features.items()):
        inside = isinstance(feature, tfds.FeaturesDict)
        found |= _paths(feature, f"{above}{key}/") if inside else {above + key: feature}
    return found


def _classes(what: str, label: Any) -> tuple[str, ...]:
    from tensorflow_datasets import features as tfds

    if not isinstance(label, tfds.ClassLabel) or not label.num_classes:
        raise UserError(
            f"the label of {what} is {_described(label)}, not one class: name another with --keys INPUT LABEL"
        )
    return tuple(label.names)


def _stored_as(what: str, image: Any, size: Sequence[int] | None) -> tuple[tuple[int, ...], str]:
    """Returns the shape and dtype of an input as its source returns it."""
    from tensorflow_datasets import features as tfds

    is_image, shape, kind = isinstance(image, tfds.Image), image.shape, _described(image)
    if not (is_image or (isinstance(image, tfds.Tensor) and np.dtype(image.np_dtype).kind in "biuf")):
        raise UserError(
            f"the input of {what} is {kind}, not an image or an array of numbers: name another with --keys "
            "INPUT LABEL"
        )
    dtype = np.dtype(image.np_dtype)
    is_pixels = dtype == np.uint8 and len(shape) == 3  # as `data prepare` stores small images
    scalable = ((is_image and dtype.kind == "u") or is_pixels) and shape[-1] in (1, 3)
    if size is not None:
        if not scalable:
            raise UserError(f"the input of {what}, {kind}, cannot be scaled: leave the size out")
        if len(size) != 2 or not all(1 <= side <= LARGEST for side in size):
            raise UserError(f"the size {tuple(size)}: it is a height and a width, from 1 to {LARGEST:,}")
        shape = (*size, shape[-1])
    if scalable and None in shape:
        raise UserError(
            f"the images of {what} differ in size, and a network needs one: scale them all, with --size "
            "HEIGHT WIDTH"
        )
    if not shape or None in shape:
        raise UserError(f"the input of {what} is {kind}: a network needs arrays of one shape")
    if dtype.kind in "iu" and dtype != np.uint8 and not scalable and len(shape) > 1:
        raise UserError(
            f"the input of {what} is {kind}, which does not tell where black and white are: prepare it "
            "as uint8"
        )
    return shape, "uint8" if scalable or dtype == np.uint8 else "float32"


def _described(feature: Any) -> str:
    """Returns a feature in words: Text, or Tensor of shape (3,) and float32."""
    from tensorflow_datasets import features as tfds

    kind = type(feature).__name__
    if not isinstance(feature, (tfds.Image, tfds.Tensor)) or np.dtype(feature.np_dtype).kind not in "biuf":
        return kind
    return f"{kind} of shape {feature.shape} and {np.dtype(feature.np_dtype)}"
