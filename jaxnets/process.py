"""How a process is set up that trains or runs a command, and whether several agree on what they do."""

import ctypes
import hashlib
import os
import platform
import sys
import threading
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4

_in_line = False  # whether the calling thread runs programs, which is settled by the first computation


def keep_memory() -> dict[str, int] | None:
    """Lets glibc keep the memory that XLA frees after every step, on CPUs, instead of handing it back.

    The kernel clears every page it gives out again: up to two fifths of the time of a training step. To be
    called before the first computation where arrays are larger than 64 MB (32 images of 224x224 in
    ResNet-50): threads of XLA keep none so large, the calling thread does; see `compute_in_line`.

    Returns:
        ``compiler_options`` for `jax.jit`. Where threads of XLA run programs: the work space in blocks that
        they keep; JAX does not write programs with several blocks to its cache. None where the thread runs
        them that the process began with. None, and the memory left alone, on other devices, with other C
        libraries, and where the environment sets up malloc itself (MALLOC_..., GLIBC_TUNABLES).
    """
    import jax

    compute_in_line()
    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if own or platform.libc_ver()[0] != "glibc" or jax.default_backend() != "cpu":
        return None
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)  # never
    mallopt(_TOP_PAD, 2**28)  # more than two heaps of a thread, or it gives one back
    if _in_line and threading.current_thread() is threading.main_thread() and jax.local_device_count() == 1:
        return None
    warnings.filterwarnings("ignore", message="(?s).*persistent compilation cache.*Multiple temp buffer")
    return {"xla_multiheap_size_constraint_per_heap": 2**25}


def compute_in_line() -> None:
    """Has the calling thread run programs for a single CPU device, not one of XLA's.

    To be called before the first computation; a no-op later. Only the thread a process began with has memory
    without a limit to keep.
    """
    global _in_line
    import jax

    if not has_devices():
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        _in_line = True


def has_devices() -> bool:
    """Whether JAX has started its devices: what is settled by then can no longer be changed."""
    from jax._src.xla_bridge import backends_are_initialized  # no public function tells

    return backends_are_initialized()


@cache
def known(option: str, value: int | str) -> bool:
    """Whether XLA has this compiler option; it drops and renames them from one release to the next."""
    import jax

    try:
        jax.jit(lambda: 0, compiler_options={option: value})()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def check_alike(what: str, tree: Any) -> None:
    """Makes sure that all processes of a run hold the same numbers; each of them asks.

    Args:
        what: the name of these numbers, for the message.
        tree: of NumPy arrays, or a string.

    Raises:
        UserError: one does not: in every process.
    """
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

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


def keep_programs() -> None:
    """Keeps compiled programs in the user's cache folder, where the next process finds them.

    A folder for each kind of machine: programs for CPUs use the instructions of the one that compiled them,
    and JAX's key does not tell these apart. JAX's own settings win: JAX_COMPILATION_CACHE_DIR for another
    place, JAX_ENABLE_COMPILATION_CACHE=false for none. To be called before jax is imported; a no-op later,
    since jaxlib reads its log level then (see below).
    """
    if "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache / "jaxnets" / f"programs-{_machine()}")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    # jaxlib takes two of LLVM's tuning hints for instructions that the machine lacks, and logs a page about
    # it for every program it reads. What fails raises all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _machine() -> str:
    """A name for what instructions this processor has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        kind = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        kind = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {kind}".encode()).hexdigest()[:12]
