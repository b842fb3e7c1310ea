"""What a command sets up before it starts."""

import os
import subprocess
import sys

SCRIPT = """
from jaxnets.process import keep_programs
keep_programs()
import jax
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
