"""How a process is set up that trains or runs a command: where compiled programs and freed memory stay."""

import ctypes
import hashlib
import os
import platform
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_memory() -> None:
    """Lets glibc keep the memory that XLA frees after every step, on CPUs, instead of handing it back.

    The kernel clears every page it gives out again: up to a third of the time of a training step. To be
    called before jax computes anything, as commands do: of threads that have asked for memory already, blocks
    of more than 64 MB, such as the work space of large steps, still come and go. A no-op with other C
    libraries, where JAX may run on something else than CPUs, and where the environment sets up malloc itself
    (MALLOC_..., GLIBC_TUNABLES).
    """
    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if own or platform.libc_ver()[0] != "glibc" or not _cpus_alone():
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_ARENA_MAX, 1)  # of threads to come: other arenas keep nothing larger than 64 MB
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 2**26)


def _cpus_alone() -> bool:
    """Whether JAX is told to run on CPUs, or nothing else is installed that it could run on."""
    told = os.environ.get("JAX_PLATFORMS")
    return told == "cpu" if told else not (entry_points(group="jax_plugins") or find_spec("libtpu"))


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
