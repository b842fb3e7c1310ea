"""Commands to suggest to the user, given as this program was called, so that they work as shown."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# The packages of pyproject.toml's extras: jaxnets is on no index, and its source may not be available.
EXTRAS = {
    "tfds": ["tensorflow-cpu" if sys.platform == "linux" else "tensorflow"],
    "plan-cuda": ["jax[cuda13-local]"],  # the compiler alone, without CUDA's 4 GB of libraries
    "plan-tpu": ["jax[tpu]"],
    "wandb": ["wandb>=0.19"],
    "trackio": ["trackio>=0.5"],
    "hub": ["huggingface_hub>=0.30"],
    "onnx": ["jax2onnx>=0.17.1", "onnxruntime>=1.24", "jax<0.12"],
}


def join(*words: object) -> str:
    """Returns a command line of these words, quoted for this system's shell."""
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
    name = Path(script).name  # a command of its own: by its name, if the shell finds it by that
    return join(name if shutil.which(name) == script else script)


def command() -> str | None:
    """Returns the command line by which this program was called; None in a notebook or another session."""
    if not Path(getattr(sys.modules["__main__"], "__file__", "")).is_file():
        return None
    return f"{program()} {join(*sys.argv[1:])}".rstrip()


def jaxnets(*words: object) -> str:
    """Returns the command line that calls jaxnets with these words."""
    called = program()
    called = called if Path(called).name == "jaxnets" else python("-m", "jaxnets")
    return f"{called} {join(*words)}".rstrip()


def install(*packages: str) -> str:
    """Returns the command that installs these packages, or the packages of an extra of that name."""
    names = [name for package in packages for name in EXTRAS.get(package, [package])]
    return python("-m", "pip", "install", *names)
