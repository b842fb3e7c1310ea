"""What is set for a whole process: where compiled programs are kept, who computes, who keeps memory."""

import ctypes
import hashlib
import importlib.util
import os
import platform
import threading
import warnings
from functools import cache
from pathlib import Path
from typing import Any

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4

_keeps_memory = False  # whether glibc has been told to
_in_line = False  # whether the calling thread runs programs, which is settled by the first computation


def set_up() -> None:
    """Sets this process up for training, as the commands of jaxnets do before anything else.

    Importing a library and `fit` change nothing of the process that they run in. A notebook or a script of
    your own calls this before its first computation, if it wants what the commands have:

    - Compiled programs are kept in the user's cache folder, where the next process finds them.
    - On machines that have only CPUs, glibc keeps the memory that XLA frees after every step, instead of
      handing it back. The kernel clears every page it gives out again: up to two fifths of a step's time.
    - The calling thread runs programs for a single CPU device, not one of XLA's: only the thread that a
      process began with keeps arrays of more than 64 MB (32 images of 224x224 in ResNet-50).

    What the environment or `jax.config` says already (JAX_COMPILATION_CACHE_DIR, MALLOC_...,
    JAX_ENABLE_COMPILATION_CACHE, GLIBC_TUNABLES) stays. After the first computation the calling thread no
    longer takes programs over; the rest works as well. A second call changes nothing.
    """
    _keep_programs()
    if not has_accelerators():
        _compute_in_line()
        _keep_memory()


def memory_options() -> dict[str, Any]:
    """Returns ``compiler_options`` for the `jax.jit` of a step on a CPU, so that its memory is kept.

    {} unless `set_up` has had memory kept and threads of XLA run programs: then a program's work space comes
    in blocks that they keep, too. (JAX does not write programs with several blocks to its cache.)
    """
    import jax

    main = threading.current_thread() is threading.main_thread()
    if not _keeps_memory or (_in_line and main and jax.local_device_count() == 1):
        return {}
    return {"xla_multiheap_size_constraint_per_heap": 2**25}


def has_devices() -> bool:
    """Returns whether JAX has started its devices: what is settled by then can no longer be changed."""
    import jax

    config: Any = jax.config
    count = config.jax_num_cpu_devices
    try:
        config.update("jax_num_cpu_devices", count + 2)  # refused from then on: no other public sign of it
    except RuntimeError:
        return True
    config.update("jax_num_cpu_devices", count)
    return False


def has_accelerators() -> bool:
    """Returns whether JAX may find other devices than CPUs, by what is installed; starts none."""
    return any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))


@cache
def xla_accepts(option: str, value: int | str) -> bool:
    """Returns whether XLA has a compiler option; it drops and renames them from one release to the next."""
    import jax

    try:
        jax.jit(lambda: 0, compiler_options={option: value})()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _keep_programs() -> None:
    """Has compiled programs kept, in a folder for each kind of machine.

    Programs for CPUs use the instructions of the one that compiled them, and JAX's key does not tell these
    apart.
    """
    import jax

    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None:  # the environment's is there, too
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    config.update("jax_compilation_cache_dir", str(home / "jaxnets" / f"programs-{_instructions()}"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    warnings.filterwarnings("ignore", message="(?s).*persistent compilation cache.*Multiple temp buffer")
    # jaxlib takes two of LLVM's tuning hints for instructions that the machine lacks, and logs a page about
    # it for every program it reads. What fails raises all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _instructions() -> str:
    """A name for what instructions this processor has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        kind = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        kind = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {kind}".encode()).hexdigest()[:12]


def _compute_in_line() -> None:
    global _in_line
    import jax

    if not has_devices():
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        _in_line = True


def _keep_memory() -> None:
    global _keeps_memory
    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if _keeps_memory or own or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)  # never
    mallopt(_TOP_PAD, 2**28)  # more than two heaps of a thread, or it gives one back
    _keeps_memory = True
