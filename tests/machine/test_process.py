"""What a command sets up before it starts."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import jax
from jaxnets.machine import set_up
set_up()
print(jax.config.jax_compilation_cache_dir)
print(float(jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((3, 3)))))
"""


def test_compiled_programs_are_kept(tmp_path):
    """In the user's cache folder, under the machine's kind, unless JAX is told otherwise."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    own |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def run(**more):
        call = [sys.executable, "-c", SCRIPT]
        return subprocess.run(call, env=own | more, capture_output=True, text=True, check=True).stdout.split()

    folder, value = run()
    assert value == "27.0"
    assert folder.startswith(str(tmp_path / "jaxnets" / "programs-"))
    assert run(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "other"))[0] == str(tmp_path / "other")


PROGRAM = """
from jaxnets.cli import commandline
import jax

def main():
    print(float(jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((3, 3)))))

commandline.run(main)
"""


def test_kept_programs_are_read_without_a_word(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    own = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "TF_"))}
    own |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    for _ in range(2):
        done = subprocess.run([sys.executable, script], env=own, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("27.0\n", "")
    assert list(tmp_path.glob("jaxnets/programs-*/*"))


FAULTS = """
import ctypes
import os
import resource
from jaxnets.machine import memory_options, set_up
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # of many cores' threads each had a heap to grow
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: no huge pages, whatever the kernel's default
import jax, jax.numpy as jnp
if {late}:
    jax.devices()  # from here on threads of XLA compute
if {keep}:
    set_up()
options = memory_options()
assert bool(options) == ({keep} and {late})

def large(x):  # its work space is {count} arrays of side * side
    products = [jnp.sin(x * n) @ x.T for n in range({count})]
    return sum((p @ x) / (1 + p.T @ x) for p in products)

compiled = jax.jit(large, compiler_options=options)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    compiled(jnp.ones(({side}, 2))).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(sorted([faults() for _ in range(25)][12:])[6])  # at first the heaps of several threads grow
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told to keep memory")
@pytest.mark.parametrize(
    ("side", "count", "late"),
    [
        pytest.param(2450, 8, True, id="24 MB, in blocks"),
        pytest.param(2450, 8, False, id="24 MB", marks=pytest.mark.slow),
        pytest.param(4500, 2, False, id="81 MB", marks=pytest.mark.slow),
    ],
)
def test_memory_is_kept(side, count, late):
    """What large programs work in is not given back and cleared anew, page by page, in every call."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES", "JAX_"))}

    def run(keep):
        call = [sys.executable, "-c", FAULTS.format(keep=keep, side=side, count=count, late=late)]
        done = subprocess.run(
            call,
            env=own | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"},
            capture_output=True,
            check=True,
        )
        return int(done.stdout)

    pages = 10**8 // os.sysconf("SC_PAGE_SIZE")
    assert run(keep=False) > pages
    assert run(keep=True) < pages / 20


LEFT = """
import os
from pathlib import Path
from jaxnets.machine import process, set_up
set_up()
import jax

def held():
    return os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[1])

seen = []
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: seen.append(event))
jax.jit(lambda x: x + 1)(1)
assert process._COMPILED in seen
small = [bytearray(2000) for _ in range(50_000)]  # 100 MB, in the parts that glibc hands out
last = bytearray(2000)  # above them, so that they cannot simply fall off the end
del small
kept = held()
jax.monitoring.record_event_duration_secs(process._COMPILED, 2.0)
print(kept - held())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told to keep memory")
def test_what_a_compilation_leaves_is_returned():
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES", "JAX_"))}
    own["JAX_PLATFORMS"] = "cpu"
    done = subprocess.run([sys.executable, "-c", LEFT], env=own, capture_output=True, check=True)
    assert int(done.stdout) > 80e6
