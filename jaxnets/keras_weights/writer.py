"""Writing weight files that Keras can load, with h5py alone."""

import io
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import UserError
from jaxnets.keras_weights.containers import WEIGHTS, members, read_member
from jaxnets.keras_weights.hdf5 import Place, h5py
from jaxnets.keras_weights.layers import Target
from jaxnets.keras_weights.tree import ROLES

RECURRENT = {"SimpleRNN", "LSTM", "GRU"}


def write_new(path: Path, targets: list[Target], values: dict[tuple[str, ...], Any], *, legacy: bool) -> None:
    """Writes the weights of a sequential or functional model whose layers are in `targets`' order.

    With `legacy`, it is the ``.h5`` that Keras 2 and 3 load, otherwise the ``.weights.h5`` of Keras 3.
    """
    unknown = sorted({target.type for target in targets if target.class_name is None})
    if unknown:
        raise UserError(
            f"no known Keras layer corresponds to {', '.join(unknown)}: give like=, a file that Keras wrote"
        )
    count: Counter[str] = Counter()
    names = []
    for target in targets:
        name = str(target.class_name)
        names.append(f"{name}_{count[name]}" if count[name] else name)
        count[name] += 1
    with h5py().File(path, "w") as file:
        for name, target in zip(names, targets, strict=True):
            arrays = {variable[-1]: np.asarray(values[variable]) for variable in target.variables}
            if legacy:
                _write_layer(file.create_group(name), name, target, arrays)
            else:
                inner = f"layers/{name}/cell/vars" if target.type in RECURRENT else f"layers/{name}/vars"
                stored = file.create_group(inner)
                for i, array in enumerate(arrays.values()):
                    stored[str(i)] = array
        if legacy:
            # Keras converts the layouts of versions before 2 and of other backends.
            file.attrs.update(layer_names=_encoded(names), keras_version="2.15.0", backend="tensorflow")


def _write_layer(group: Any, name: str, target: Target, arrays: dict[str, np.ndarray]) -> None:
    """Writes a layer's weights under Keras's names for them."""
    keras_names = {role: keras_name for keras_name, role in ROLES.items()}
    if str(target.class_name).endswith("normalization"):
        keras_names["bias"] = "beta"
    weights = {f"{name}/{keras_names.get(role, role)}:0": array for role, array in arrays.items()}
    group.attrs["weight_names"] = _encoded(weights)
    for key, array in weights.items():
        group[key] = array


def _encoded(names: Iterable[str]) -> list[bytes]:
    return [name.encode() for name in names]


def write_like(path: Path, like: Path, values: dict[Place, np.ndarray], *, inner: bool = False) -> None:
    """Writes a copy of the Keras file `like` in which arrays have new values.

    With `inner`, it is a copy of only the ``.weights.h5`` inside the ``.keras`` file `like`.
    """
    if like.suffix == ".json":
        raise UserError(f"{str(like)!r} lists several files: give like= one file, as save_weights writes it")
    if not zipfile.is_zipfile(like):
        shutil.copyfile(like, path)
        _replace(path, values)
        return
    with zipfile.ZipFile(like) as archive:
        contents = {name: read_member(archive, info) for name, info in members(archive).items()}
    weights = io.BytesIO(contents.pop(WEIGHTS))
    _replace(weights, values)
    if inner:
        path.write_bytes(weights.getbuffer())
        return
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
        archive.writestr(WEIGHTS, weights.getbuffer())


def _replace(file: Path | io.BytesIO, values: dict[Place, np.ndarray]) -> None:
    with h5py().File(file, "r+") as opened:
        for place, value in values.items():
            dataset, value = opened[place.name], place.encode(value)
            dataset[...] = value.view(dataset.dtype) if dataset.dtype.kind == "V" else value  # bfloat16
