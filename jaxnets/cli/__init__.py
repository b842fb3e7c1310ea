"""The command line, python -m jaxnets and jaxnets: nothing is imported before Ctrl-C is handled."""

import os

from jaxnets.cli import ctrl_c


def begin() -> None:
    """Does what a program of ours must do before it imports JAX."""
    ctrl_c.end_at_once()
    # jaxlib logs a page about each program that it reads from the cache: it takes two of LLVM's tuning hints
    # for instructions that the machine lacks. It reads this when it is imported; what fails still raises.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Runs the command that the arguments name; see `jaxnets.cli.commands`."""
    begin()
    from jaxnets.cli.commands import main

    main()
