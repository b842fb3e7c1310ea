"""Settings of a whole process: where compiled programs are kept, which thread computes, who keeps memory."""

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
_COMPILED = "/jax/core/compile/backend_compile_duration"  # JAX's name for the seconds that XLA took

_keeps_memory = False  # whether glibc has been told to
_in_line = False  # whether the calling thread runs programs, which is settled by the first computation


def set_up() -> None:
    """Sets this process up for training, as the commands of jaxnets do before anything else.

    Importing the library and calling `fit` change nothing in the process. To get what the commands have, call
    this in your own notebook or script before its first computation:

    - Compiled programs are kept in the user's cache folder, where the next process finds them. (On some CPUs
      jaxlib logs a page about each program that it reads from there. TF_CPP_MIN_LOG_LEVEL=3, set before JAX
      is imported, silences it, as the commands do.)
    - On machines with only CPUs, glibc keeps the memory that XLA frees after every step instead of returning
      it. The kernel clears every page that it hands out again, which takes up to two fifths of a step's time.
      What a compilation leaves is returned.
    - Programs for a single CPU device run in the calling thread, not in one of XLA's: only the main thread of
      a process keeps arrays of more than 64 MB (32 images of 224x224 in ResNet-50).

    Settings in the environment or `jax.config` (JAX_COMPILATION_CACHE_DIR, MALLOC_...,
    JAX_ENABLE_COMPILATION_CACHE, GLIBC_TUNABLES) take precedence. After the first computation, programs can
    no longer be moved to the calling thread; the rest still works. A second call changes nothing.
    """
    _keep_programs()
    if not has_accelerators():
        _compute_in_line()
        _keep_memory()


def set_up_compilers() -> None:
    """Sets this process up to compile for accelerators that are not there, as the command `plan` does.

    Call it before the first computation. JAX then uses the CPU alone, and keeps no programs.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", False)  # it cannot read programs for such devices
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # otherwise the compiler for TPUs asks the network where it is
    os.environ["TPU_ACCELERATOR_TYPE"] = "v5litepod-4"
    os.environ["TPU_WORKER_HOSTNAMES"] = "localhost"
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # nothing runs on a TPU: several processes may compile


def memory_options() -> dict[str, Any]:
    """Returns ``compiler_options`` for the `jax.jit` of a step on a CPU, so that its memory is kept.

    They are {} unless `set_up` has had memory kept and XLA's threads run the programs: then a program's work
    space comes in blocks that these threads keep, too. (JAX does not cache programs with several blocks.)
    """
    import jax

    main = threading.current_thread() is threading.main_thread()
    if not _keeps_memory or (_in_line and main and jax.local_device_count() == 1):
        return {}
    return {"xla_multiheap_size_constraint_per_heap": 2**25}


def has_devices() -> bool:
    """Returns whether JAX has started its devices, after which some settings can no longer be changed."""
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
    """Returns whether JAX may find devices other than CPUs, going by what is installed; starts none."""
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
    """Makes JAX keep compiled programs, in one folder per kind of machine.

    Programs for CPUs use the instructions of the one that compiled them, which JAX's key does not include.
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


def _instructions() -> str:
    """Returns a name for this processor's set of instructions."""
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
    import jax

    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if _keeps_memory or own or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)  # never
    mallopt(_TOP_PAD, 2**28)  # more than two heaps of a thread, or it gives one back
    jax.monitoring.register_event_duration_secs_listener(_give_back)
    _keeps_memory = True


def _give_back(event: str, duration_secs: float, **_: Any) -> None:
    """Returns to the kernel what a compilation leaves: for ResNet-18 twice as much as its steps need."""
    if event == _COMPILED and duration_secs > 1:
        ctypes.CDLL(None).malloc_trim(0)
