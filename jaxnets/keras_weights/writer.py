"""Writing weight files that Keras can load, with h5py alone."""

import io
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import UserError
from jaxnets.keras_weights.layers import Target
from jaxnets.keras_weights.readers import hdf5

RECURRENT = {"SimpleRNN", "LSTM", "GRU"}


def write_new(path: Path, targets: list[Target], values: dict[tuple[str, ...], Any]) -> None:
    """Writes a ``.weights.h5`` for a sequential or functional model whose layers are in `targets`' order."""
    unknown = sorted({target.type for target in targets if target.class_name is None})
    if unknown:
        raise UserError(
            f"no known Keras layer corresponds to {', '.join(unknown)}: give like=, a file that Keras wrote"
        )
    count: Counter[str] = Counter()
    with hdf5().File(path, "w") as file:
        for target in targets:
            name = str(target.class_name)
            group = f"layers/{name}_{count[name]}" if count[name] else f"layers/{name}"
            count[name] += 1
            stored = file.create_group(f"{group}/cell/vars" if target.type in RECURRENT else f"{group}/vars")
            for i, variable in enumerate(target.variables):
                stored[str(i)] = np.asarray(values[variable])


def write_like(path: Path, like: Path, values: dict[str, np.ndarray], *, inner: bool = False) -> None:
    """Writes a copy of the Keras file `like` in which the named datasets have new values.

    With `inner`, it is a copy of only the ``.weights.h5`` inside the ``.keras`` file `like`.
    """
    if not zipfile.is_zipfile(like):
        shutil.copyfile(like, path)
        _replace(path, values)
        return
    with zipfile.ZipFile(like) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members.pop("model.weights.h5"))
    _replace(weights, values)
    if inner:
        path.write_bytes(weights.getbuffer())
        return
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("model.weights.h5", weights.getbuffer())


def _replace(file: Path | io.BytesIO, values: dict[str, np.ndarray]) -> None:
    with hdf5().File(file, "r+") as opened:
        for name, value in values.items():
            dataset = opened[name]
            dataset[...] = value.view(dataset.dtype) if dataset.dtype.kind == "V" else value  # bfloat16
