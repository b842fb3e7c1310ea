"""Whether what is read of a checkpoint is what was written, and is of the same network and optimizer."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.sharding import Sharding

from jaxnets.errors import UserError
from jaxnets.machine.distributed import to_host

# A checkpoint is {"state": TrainState, "sums": of the running epoch} and `meta` with its digest. Format 3 was
# the same without the digest; the `meta` of format 2 told where in the state averaged weights lay.
FORMAT = 4
Meta = Mapping[str, Any]


def is_intact(meta: Any) -> bool:
    """Returns whether the meta of a checkpoint is what was written; only those since format 4 can tell."""
    if not isinstance(meta, dict) or not isinstance(meta.get("checksums"), dict):
        return False
    if "digest" not in meta:
        return meta.get("format") != FORMAT
    return meta["digest"] == digest({key: value for key, value in meta.items() if key != "digest"})


def digest(notes: Meta) -> str:
    """Returns the SHA-256 of a meta as it is written."""
    return hashlib.sha256(json.dumps(notes).encode()).hexdigest()


def check_layout(folder: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
    """Raises UserError if the arrays of a checkpoint are not those wanted; both as from `shapes`."""
    for path in sorted(saved.keys() | wanted.keys()):
        there, here = saved.get(path, "missing"), wanted.get(path, "missing")
        if there != here:
            raise UserError(
                f"the checkpoint {folder} is of another network or optimizer: {path} is {there} there and "
                f"{here} here; use the settings it was made with, or another workdir"
            )


def abstract(x: Any, sharding: Sharding | None = None) -> Any:
    """Returns what Orbax is told of an array to read: its shape, its dtype, and where it shall lie."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding or x.sharding)


def leaves(tree: Any) -> dict[str, Any]:
    """Returns the arrays of a nested dict by path."""
    return traverse_util.flatten_dict(tree, sep="/")


def shapes(tree: Any) -> dict[str, str]:
    """Returns the dtypes and shapes of the arrays of a nested dict by path, as text."""
    return {path: f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for path, leaf in leaves(tree).items()}


def checksums(tree: Any) -> dict[str, int]:
    """Returns the CRC-32 of every array.

    One array at a time is whole in the memory of this process, or of each, if they are split over several:
    then every process must call it.
    """
    return {path: _crc(leaf) for path, leaf in leaves(tree).items()}


def _crc(leaf: Any) -> int:
    if isinstance(leaf, jax.Array) and leaf.is_fully_replicated:
        leaf = leaf.addressable_data(0)
    if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
        leaf = jnp.copy(leaf)  # an array keeps what is fetched of it, and this one is dropped
    return zlib.crc32(np.ascontiguousarray(to_host(leaf)).reshape(-1).view(np.uint8).data)
