"""How a process is set up that trains or runs a command: where compiled programs and freed memory stay."""

import ctypes
import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_memory() -> dict[str, int] | None:
    """Lets glibc keep the memory that XLA frees after every step, on CPUs, instead of handing it back.

    The kernel clears every page it gives out again: up to a third of the time of a training step.

    Returns:
        ``compiler_options`` for `jax.jit`: the work space of a program in blocks that XLA's threads keep, for
        they keep none of more than 64 MB. JAX does not write programs with several blocks to its cache. None,
        and nothing done, on other devices, with other C libraries, and where the environment sets up malloc
        itself (MALLOC_..., GLIBC_TUNABLES).
    """
    import jax

    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if own or platform.libc_ver()[0] != "glibc" or jax.default_backend() != "cpu":
        return None
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 2**28)  # more than two heaps of a thread, or it gives one back
    warnings.filterwarnings("ignore", message="(?s).*persistent compilation cache.*Multiple temp buffer")
    return {"xla_multiheap_size_constraint_per_heap": 2**25}


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
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        kind = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {kind}".encode()).hexdigest()[:12]
