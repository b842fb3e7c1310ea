"""What to type next, as this program was called: sentences name commands that work where they are read."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# What extras of pyproject.toml stand for: jaxnets itself is on no index, and its source need not be at hand.
EXTRAS = {
    "tfds": ["tensorflow-cpu" if sys.platform == "linux" else "tensorflow"],
    "onnx": ["jax2onnx>=0.17.1", "onnxruntime>=1.24", "jax<0.12"],
}


def join(*words: object) -> str:
    """Returns a command line of these words, quoted as this system's shell needs it."""
    line = list(map(str, words))
    return subprocess.list2cmdline(line) if os.name == "nt" else shlex.join(line)


def python(*words: object) -> str:
    """Returns the command line that calls this Python with these words."""
    return join((sys.orig_argv or [sys.executable])[0], *words)


def program() -> str:
    """Returns how this program was called, without its arguments."""
    module, script = getattr(sys.modules["__main__"], "__spec__", None), sys.argv[0]
    if module:
        return python("-m", module.name.removesuffix(".__main__"))
    if script.endswith(".py"):
        return python(script)
    name = Path(script).name  # a command of its own: by that name, where the shell finds this one by it
    return join(name if shutil.which(name) == script else script)


def jaxnets(*words: object) -> str:
    """Returns the command line that calls jaxnets with these words."""
    called = program()
    called = called if Path(called).name == "jaxnets" else python("-m", "jaxnets")
    return f"{called} {join(*words)}".rstrip()


def install(*packages: str) -> str:
    """Returns the command that installs these packages, or what an extra of that name stands for."""
    names = [name for package in packages for name in EXTRAS.get(package, [package])]
    return python("-m", "pip", "install", *names)
