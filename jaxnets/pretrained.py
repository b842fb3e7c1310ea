"""ImageNet weights of ResNet-50, Xception and VGG: the official Keras files, their inputs and their classes.

The class index (imagenet_class_index.json, number -> [WordNet id, name]) lists the ILSVRC 2012 classes, each
named by its first WordNet lemma. It is compiled from the synset and lemma lists of the PyTorch Image Models
package (timm 1.0.31, Apache License 2.0; the lemmas are WordNet's, under Princeton's WordNet licence) and is
byte for byte the file that keras.applications downloads (MD5 c2c37ea517e94d9795004a39431a14cb).
"""

import dataclasses
import functools
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.errors import UserError, lookup
from jaxnets.files import complete
from jaxnets.keras_weights import from_keras
from jaxnets.models import INPUT_SHAPES, MODELS

Variables = dict[str, Any]
URL = "https://storage.googleapis.com/tensorflow/keras-applications/"


def caffe_inputs(images: jax.Array) -> jax.Array:
    """Returns RGB images with values 0 to 255 as BGR minus ImageNet's mean colour, float32 (..., 3)."""
    return jnp.asarray(images, jnp.float32)[..., ::-1] - jnp.array([103.939, 116.779, 123.68]).reshape(
        (1,) * (jnp.ndim(images) - 1) + (3,)
    )


def tf_inputs(images: jax.Array) -> jax.Array:
    """Returns images with values 0 to 255 scaled to -1 to 1, float32 (..., 3)."""
    return jnp.asarray(images, jnp.float32) / 127.5 - 1


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """An official file: its address, its MD5 checksum, and its network's preprocessing."""

    url: str
    md5: str
    inputs: Callable[[jax.Array], jax.Array]

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def _official(name: str, md5: str, inputs: Callable[[jax.Array], jax.Array]) -> Pretrained:
    folder = "resnet" if name == "resnet50" else name
    return Pretrained(f"{URL}{folder}/{name}_weights_tf_dim_ordering_tf_kernels.h5", md5, inputs)


# The checksums are those in the sources of keras.applications 3.15.
PRETRAINED = {
    "resnet50": _official("resnet50", "2cb95161c43110f7111970584f804107", caffe_inputs),
    "xception": _official("xception", "0a58e3b7378bc2990ea3b43d5981f1f6", tf_inputs),
    "vgg16": _official("vgg16", "64373286793e3c8b2b4e3219cbf3544b", caffe_inputs),
    "vgg19": _official("vgg19", "cbe5617147190e668d6c5d5026f83318", caffe_inputs),
}


def load_pretrained(name: str, source: str | Path = "imagenet", *, unchecked: bool = False) -> Variables:
    """Returns the pretrained variables of `MODELS[name]()` with its 1,000 classes.

    Args:
        name: One of `PRETRAINED`.
        source: "imagenet" for the official file, downloaded once (`download`), or the path of a Keras file.
        unchecked: Whether to take the weights even if the file says that its network computes something else;
            see `from_keras`.

    Raises:
        UserError: If there are no such weights, they cannot be obtained, or the file is of another network.

    Examples:
        >>> variables = load_pretrained("resnet50")  # doctest: +SKIP
        >>> logits = MODELS["resnet50"]().apply(variables, preprocess("resnet50", images))  # doctest: +SKIP
        >>> decode_predictions(jax.nn.softmax(logits), top=3)  # doctest: +SKIP
    """
    lookup(PRETRAINED, name, "pretrained model")
    path = download(name) if source == "imagenet" else source
    return from_keras(path, MODELS[name](), INPUT_SHAPES[name], unchecked=unchecked)


def transplant(
    variables: Variables,
    pretrained: Variables,
    under: str = "backbone",
    without: Collection[str] = ("predictions",),
) -> Variables:
    """Returns `variables` with the arrays below `under` replaced by those of `pretrained`.

    Args:
        variables: Variables of the new network, e.g. of `Classifier(backbone=Xception())`.
        pretrained: Variables of the backbone's own model, e.g. from `load_pretrained("xception")`.
        under: Name of the backbone in `variables`; "" if the two have the same layers.
        without: Layers that are not transferred: the old head.

    Raises:
        UserError: If `variables` has other layers or shapes there.
    """
    new, prefix = flatten_dict(variables), (under,) if under else ()
    old = {
        (collection, *prefix, *path): array
        for (collection, *path), array in flatten_dict(pretrained).items()
        if path[0] not in without
    }
    open_places = {
        path for path in new if path[1 : 1 + len(prefix)] == prefix and path[1 + len(prefix)] not in without
    }
    wrong = open_places ^ old.keys()
    wrong |= {path for path in open_places & old.keys() if jnp.shape(new[path]) != jnp.shape(old[path])}
    if wrong:
        names = ", ".join(sorted("/".join(path[1:]) for path in wrong))
        raise UserError(f"the pretrained layers are not those of the network, which differs in: {names}")
    return unflatten_dict(new | old)


def preprocess(name: str, images: jax.Array) -> jax.Array:
    """Returns images preprocessed as for the training of the pretrained network `name`.

    Args:
        name: One of `PRETRAINED`.
        images: RGB images, (..., 3), with values 0 to 255 of any dtype.

    Returns:
        The inputs, float32 (..., 3): BGR minus the mean colour (ResNet, VGG), or values -1 to 1 (Xception).
    """
    return lookup(PRETRAINED, name, "pretrained model").inputs(images)


@functools.cache
def class_index() -> list[tuple[str, str]]:
    """Returns (WordNet id, name) for every ImageNet class, in the order of their numbers."""
    index = json.loads(Path(__file__).with_name("imagenet_class_index.json").read_text(encoding="utf-8"))
    return [tuple(index[str(number)]) for number in range(len(index))]


def decode_predictions(probabilities: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Returns each image's `top` most probable classes as (WordNet id, name, probability), best first.

    Args:
        probabilities: Probabilities, (batch, 1000), e.g. `jax.nn.softmax(logits)`.
        top: Number of classes, at most 1,000.
    """
    probabilities = np.asarray(probabilities)
    classes = class_index()
    if probabilities.ndim != 2 or probabilities.shape[1] != len(classes):
        raise UserError(f"ImageNet predictions have shape (batch, {len(classes)}), not {probabilities.shape}")
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        [(*classes[i], float(row[i])) for i in chosen]
        for row, chosen in zip(probabilities, best, strict=True)
    ]


def cache_folder() -> Path:
    """Returns the folder of downloads: JAXNETS_CACHE, or else jaxnets in the user's cache folder."""
    if folder := os.environ.get("JAXNETS_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxnets"


def download(name: str) -> Path:
    """Returns the path of the official file of `name` in the cache, downloading it if necessary.

    No incomplete file or file with a wrong checksum is ever left under that name.

    Raises:
        UserError: If it cannot be downloaded; the message says where to put a copy.
    """
    wanted = lookup(PRETRAINED, name, "pretrained model")
    path = cache_folder() / wanted.file_name
    if path.exists() and _md5(path) == wanted.md5:
        return path
    otherwise = f"try again, or copy the file to {path}, or give the path of a copy"
    with complete(path) as part:
        try:
            size = _fetch(wanted.url, part)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is also the server's answer
            reason = getattr(error, "reason", error)
            raise UserError(f"{wanted.url} cannot be downloaded ({reason}): {otherwise}") from error
        had = part.stat().st_size
        if size is not None and had < size:
            raise UserError(
                f"the download of {wanted.url} broke off after {had:,} of {size:,} bytes: {otherwise}"
            )
        if _md5(part) != wanted.md5:
            raise UserError(f"{wanted.url} does not have Keras's checksum {wanted.md5}: {otherwise}")
    return path


def _fetch(url: str, path: Path) -> int | None:
    """Writes what the server sends and returns the number of bytes that it announced."""
    from tqdm import tqdm

    with urllib.request.urlopen(url, timeout=60) as response, path.open("wb") as file:
        size = response.length
        # Shown on a terminal only.
        with tqdm(total=size, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:
            while chunk := response.read(1 << 20):
                bar.update(file.write(chunk))
    return size


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
