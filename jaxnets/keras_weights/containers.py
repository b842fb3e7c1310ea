"""What a Keras file is packed in: HDF5 alone, a zip with a configuration, or parts with an index."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError
from jaxnets.files import check_unpacked, parse_json
from jaxnets.keras_weights.foreign import foreign, foreign_zip
from jaxnets.keras_weights.hdf5 import Group, h5py, read_tree, reading

WEIGHTS, CONFIG, METADATA = "model.weights.h5", "config.json", "metadata.json"
DEEPEST = 32  # models in models
MOST_INPUTS = 2**31  # numbers in one example


def open_file(path: Path) -> tuple[Group, Any]:
    """Returns the groups in any Keras weight file, and the model's configuration if it is stored beside them.

    Raises:
        UserError: If there is no such file, it is damaged, or it is not a Keras weight file; the message says
            what it is, if that is known, and the way out.
    """
    where = repr(str(path))
    if path.is_file():
        with reading(where):
            if zipfile.is_zipfile(path):
                weights, config, metadata = read_archive(path)
                root = read_tree(weights, where)
                root.attrs["keras_version"] = metadata.get("keras_version", "")
                return root, checked(config, where)
            if path.name.endswith(".weights.json"):
                return _shards(path), None
            if h5py().is_hdf5(path):
                _refuse_one_shard(path)
                root = read_tree(path, where)
                text = root.attrs.get("model_config", "null")
                return root, checked(parse_json(text, f"the configuration in {where}"), where)
    raise UserError(f"{where} {foreign(path)}")


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Returns the files in a zip by name, also if Windows wrote the names with backslashes."""
    return {info.filename.replace("\\", "/"): info for info in archive.infolist()}


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Returns the contents of a file in a zip, after checking that it is not one that is made to explode."""
    check_unpacked(f"{info.filename} in {archive.filename}", info.file_size, info.compress_size)
    return archive.read(info)


def read_archive(path: Path) -> tuple[io.BytesIO, Any, dict[str, Any]]:
    """Returns the weights in a ``.keras`` file, the model's configuration and its metadata."""
    with zipfile.ZipFile(path) as archive:
        files = members(archive)
        if not {CONFIG, WEIGHTS} <= files.keys():
            raise UserError(f"{str(path)!r} {foreign_zip(files)}")

        def settings(name: str) -> Any:
            return parse_json(read_member(archive, files[name]), f"{name} in {str(path)!r}")

        metadata = settings(METADATA) if METADATA in files else {}
        weights = io.BytesIO(read_member(archive, files[WEIGHTS]))
        return weights, settings(CONFIG), metadata if isinstance(metadata, dict) else {}


def _shards(path: Path) -> Group:
    """Returns the groups of all files that an index (``.weights.json``) lists; they lie beside it."""
    index = parse_json(path.read_bytes(), repr(str(path)))
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict):
        raise UserError(f"{str(path)!r} is no index of weights: it has no weight_map")
    lists = [[names] if isinstance(names, str) else list(names) for names in places.values()]
    root = Group("/")
    for name in dict.fromkeys(str(name) for names in lists for name in names):
        shard = path.parent / name
        if shard.resolve().parent != path.parent.resolve():
            raise UserError(f"{str(path)!r} names {name!r}, which is not in its folder: its parts must be")
        if not shard.is_file():
            raise UserError(f"{str(path)!r} needs {name!r}, which is not beside it: copy all its parts there")
        root.merge(read_tree(shard, repr(str(shard))))
    for place in places:
        root.find(place)
    return root


def _refuse_one_shard(path: Path) -> None:
    match = re.fullmatch(r"(.+)_\d{5}\.weights\.h5", path.name)
    if match and (index := path.with_name(f"{match[1]}.weights.json")).is_file():
        raise UserError(f"{str(path)!r} is one part of several: give {str(index)!r}, which lists them all")


def checked(config: Any, where: str, depth: int = 0) -> Any:
    """Returns the configuration of a model, or None for one without.

    Raises:
        UserError: If it only looks like one, or a layer in it is quantized.
    """
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    for layer in layers if isinstance(layers, list) else []:
        own = layer.get("config", {}) if isinstance(layer, dict) else None
        settings = own if isinstance(own, dict) else {}  # of a sequential model before Keras 2.3, a list
        name = layer.get("name") or settings.get("name", "") if isinstance(layer, dict) else None
        kind = layer.get("class_name") if isinstance(layer, dict) else None
        if not (isinstance(name, str) and name.isprintable() and isinstance(kind, str)) or depth > DEEPEST:
            raise UserError(f"{where} has a configuration that is no model's: a layer in it is {layer!r:.60}")
        shapes = [settings.get(key) for key in ("batch_shape", "batch_input_shape")]
        if not all(shape is None or _is_shape(shape) for shape in shapes):
            raise UserError(f"{where} has no possible shape of inputs in its configuration: {shapes!r:.60}")
        policy = settings.get("dtype")
        options = policy.get("config") if isinstance(policy, dict) else None
        if isinstance(options, dict) and "mode" in options:
            raise UserError(
                f"the layer {name!r} in {where} is quantized ({options['mode']}): give the model as it was "
                "before it was quantized"
            )
        checked(layer, where, depth + 1)
    return config


def _is_shape(shape: Any) -> bool:
    if isinstance(shape, dict):  # several inputs, by name
        return all(map(_is_shape, shape.values()))
    if isinstance(shape, list) and shape and all(isinstance(part, (list, dict)) for part in shape):
        return all(map(_is_shape, shape))
    size = 1
    for side in shape if isinstance(shape, list) else [-1]:
        if side is not None and (not isinstance(side, int) or side < 0):
            return False
        size *= side or 1
    return size < MOST_INPUTS
