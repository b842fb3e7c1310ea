"""Several devices and several processes: which take part, and which one writes."""

import atexit
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxnets.errors import UserError, reason
from jaxnets.machine.meeting import meet
from jaxnets.machine.process import has_devices
from jaxnets.machine.watch import Watch

FSDP = "fsdp"  # name of a mesh's axis along which states are split as well as batches

_watch: Watch | None = None  # of the other processes, once this one has joined them


def make_mesh(devices: int | None = None, sharding: Literal["data", "fsdp"] = "data") -> Mesh | None:
    """Returns a mesh over several devices, with one axis; None for just one device.

    Args:
        devices: Number of devices, the first of all processes. By default all.
        sharding: Name of the axis. Along "data", the default, only batches are split, and the state lies
            whole on every device; along "fsdp" the state is split as well (`jaxnets.train.sharding`).

    Raises:
        UserError: If there are fewer devices, several processes would not use equally many each, or the
            sharding is neither.
    """
    if sharding not in ("data", FSDP):
        raise UserError(f"the sharding {sharding!r} must be 'data' or 'fsdp'")
    found = jax.devices()
    shares = Counter(device.process_index for device in found)
    if len(set(shares.values())) > 1:
        counts = ", ".join(str(shares[index]) for index in sorted(shares))
        raise UserError(f"the processes have {counts} devices: each must have equally many")
    count = devices or len(found)
    if not 1 <= count <= len(found):
        raise UserError(f"{devices} devices: there are {len(found)} ({found[0].platform})")
    if count < len(found) and jax.process_count() > 1:
        raise UserError(f"{devices} devices: several processes must use all of their {len(found)}")
    return None if count == 1 else Mesh(np.array(found[:count]), (sharding,))


def join(how: str | None) -> None:
    """Joins the other processes of a run; must be called before anything else uses a device.

    Args:
        how: None for a single process; "auto" on a cluster that JAX detects (Slurm, TPU pods, Open MPI,
            Kubernetes); or "HOST:PORT,COUNT,INDEX", the address of process 0, the number of processes and
            the index of this one.

    Raises:
        UserError: If `how` is none of these, it is too late, or the others cannot be reached.
    """
    if how is None:
        return
    if jax.distributed.is_initialized():
        raise UserError(f"cannot join the other processes by {how!r}: this one has joined already")
    if has_devices():
        raise UserError(
            f"cannot join the other processes by {how!r}: it is too late, since JAX has started the devices "
            "for this process alone; call join before anything else in JAX"
        )
    try:
        if how == "auto":
            jax.distributed.initialize()
        else:
            _join(*_parts(how))
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"cannot join the other processes by {how!r} ({reason(error)}): give auto on a cluster that JAX "
            "detects, or HOST:PORT,COUNT,INDEX with the address of process 0, whose INDEX is 0"
        ) from error
    atexit.register(_leave)


def _parts(how: str) -> tuple[str, int, int, int]:
    """Returns the parts of HOST:PORT,COUNT,INDEX."""
    if not (found := re.fullmatch(r"(.+):(\d{1,5}),(\d{1,6}),(\d{1,6})", how)):
        raise ValueError("it is neither")
    host, (port, count, index) = found[1].strip("[]"), map(int, found.groups()[1:])
    if not 0 < port < 2**16:
        raise ValueError(f"there is no port {port}")
    if index >= count:
        raise ValueError(f"the processes are 0 to COUNT - 1, and {index} is not below {count}")
    return host, port, count, index


def _join(host: str, port: int, count: int, index: int) -> None:
    global _watch
    _watch = Watch(index, meet(host, port, count, index))
    hook = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        fail(error)
        hook(kind, error, trace)

    sys.excepthook = tell
    where = f"[{host}]" if ":" in host else host
    # Process 0 finds its own service on any machine, whatever its address is called elsewhere.
    jax.distributed.initialize(f"{where if index else '127.0.0.1'}:{port}", count, index)


def fail(error: BaseException) -> None:
    """Tells the other processes of a run, if there are any, that this one ends with an error."""
    if _watch is not None:
        _watch.fail(error)


def stop(error: BaseException) -> None:
    """Returns if all processes of a run stop with an error here; if one does so alone, all end."""
    if _watch is not None:
        _watch.stop(error)


def _leave() -> None:
    if _watch is not None:
        sys.stdout.flush()
        _watch.leave()
    jax.distributed.shutdown()


def wait_on_cpus(tree: Any, mesh: Mesh | None) -> None:
    """Waits for the arrays if several CPU devices share a batch; otherwise the host runs ahead.

    Virtual CPU devices share a few threads: two programs in flight can keep each other's collectives waiting
    until XLA gives up and aborts the process.
    """
    if mesh is not None and mesh.devices.flat[0].platform == "cpu":
        jax.block_until_ready(tree)


def any_process(flag: bool) -> bool:
    """Returns whether the flag is set in any process; every process must call it."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def is_writer() -> bool:
    """Returns whether this is the process that writes what all share: logs, pictures, lines on the screen."""
    return jax.process_index() == 0


def run_on_writer(action: Callable[[], Any]) -> None:
    """Calls `action` in the process that writes, and waits for it in the others.

    Raises:
        UserError: If `action` raised one; in every process, so that none waits for one that has stopped.
    """
    refused: UserError | None = None
    if is_writer():
        try:
            action()
        except UserError as error:
            refused = error
    elsewhere = jax.process_count() > 1 and multihost_utils.broadcast_one_to_all(refused is not None)
    if refused is not None:
        raise refused
    if elsewhere:
        raise UserError("process 0 has stopped: see its message")


def to_host(tree: Any) -> Any:
    """Returns the tree with whole NumPy arrays, also of those that are split over several processes.

    Every process must call it, and in each there must be room for all arrays.
    """

    def whole(leaf: Any) -> np.ndarray:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(whole, tree)


def same_text(text: str) -> str:
    """Returns process 0's text, of at most 4,096 bytes, in every process; every process must call it."""
    if jax.process_count() == 1:
        return text
    content = np.zeros(4096, np.uint8)
    content[: len(text.encode())] = np.frombuffer(text.encode(), np.uint8)
    return bytes(multihost_utils.broadcast_one_to_all(content)).rstrip(b"\0").decode()


def check_alike(what: str, tree: Any) -> None:
    """Checks that all processes of a run hold the same numbers; every process must call it.

    Args:
        what: Name of these numbers, for the message.
        tree: A tree of NumPy arrays, or a string.

    Raises:
        UserError: If a process holds others; in every process.
    """
    if jax.process_count() == 1:
        return
    leaves, form = jax.tree.flatten(tree)
    seen = zlib.crc32(str(form).encode())
    for leaf in map(np.asarray, leaves):
        seen = zlib.crc32(f"{leaf.dtype} {leaf.shape}".encode(), seen)
        seen = zlib.crc32(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data, seen)
    found = multihost_utils.process_allgather(np.uint32(seen))
    if len(others := np.flatnonzero(found != found[0])):
        raise UserError(
            f"process {others[0]} has other {what} than process 0: give both the same command and files"
        )
