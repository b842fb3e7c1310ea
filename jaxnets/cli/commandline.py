"""A command line from a function's signature (tyro), with jaxnets' exit codes.

0 done; 2 what was asked for is wrong, in one line on stderr; 1 a defect of ours, with its traceback;
130 after Ctrl-C (`jaxnets.cli.ctrl_c`); 0 after SIGTERM, when a training has saved itself.
"""

from jaxnets.cli import ctrl_c

if ctrl_c.imported_by_program():  # a script, which has no other line of ours before it imports jax
    ctrl_c.end_at_once()

import contextlib
import functools
import io
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jaxnets import hints
from jaxnets.errors import Interrupted, UserError
from jaxnets.machine.process import set_up

Command = Callable[..., Any] | dict[str, Any]  # a function, or commands by name


def run(command: Command, prog: str | None = None, arguments: Sequence[str] | None = None) -> Any:
    """Calls `command`, or the one of several that the first argument names, with the rest of the line.

    Args:
        command: A function whose parameters become the options, or such, or groups of them, by name.
        prog: The program's name in the help. By default as it was called.
        arguments: Arguments of the command line. By default the process's own.
    """
    prog = prog or hints.program()
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(command, dict) and arguments and isinstance(command.get(arguments[0]), dict):
        return run(command[arguments[0]], f"{prog} {arguments[0]}", arguments[1:])
    try:
        with ctrl_c.cleaning_up():
            if isinstance(sys.stdout, io.TextIOWrapper):  # whatever a file is called
                sys.stdout.reconfigure(errors="backslashreplace")
            call = _parse(command, prog, arguments)
            if isinstance(sys.stderr, io.TextIOWrapper):  # by whole lines, also with PYTHONUNBUFFERED
                sys.stderr.reconfigure(line_buffering=True, write_through=False)
            if "jax" in sys.modules:  # a command that computes; importing jax takes a while
                set_up()
            return call()
    except BrokenPipeError:
        sys.exit(0)
    except UserError as error:
        _stop(str(error))
    except Interrupted as stop:
        print(f"{stop}: give the same command again to continue", file=sys.stderr)
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(ctrl_c.EXIT_CODE)
    finally:
        _flush()


def _parse(command: Command, prog: str, arguments: Sequence[str]) -> Callable[[], Any]:
    """The call that the arguments ask for; --help ends here, as does what is wrong."""
    try:
        import tyro
    except ImportError:
        raise UserError(f"the command line needs tyro: {hints.install('tyro')}") from None
    config = (tyro.conf.FlagCreatePairsOff,)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # tyro draws boxes around what is wrong; one line is enough
            if callable(command):
                return tyro.cli(_later(command), prog=prog, args=arguments, config=config)
            later = {name: _later(one) for name, one in command.items()}
            return tyro.extras.subcommand_cli_from_dict(later, prog=prog, args=arguments, config=config)
    except SystemExit as stop:
        if stop.code:
            raise UserError(_one_line(said.getvalue())) from None
        raise


def _flush() -> None:
    """Writes what is left; of a reader that has seen enough (`... | head`) Python's end need not hear."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # not closed from the start
                stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _later(function: Command) -> Callable[..., Callable[[], Any]]:
    """The same signature, but the call only binds the arguments: parsing and running stay apart."""
    if isinstance(function, dict):
        names = ", ".join(function)

        def group() -> Callable[[], Any]:
            return lambda: _stop(f"say which of its commands: {names}")

        group.__doc__ = f"Several commands: {names}."
        return group

    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return functools.partial(function, *args, **kwargs)

    return bind


def _one_line(box: str) -> str:
    """What tyro says between the box's title and its first rule; without UTF-8 its boxes are of dashes."""
    lines = [line.strip("╭╮╰╯│─ ") for line in box.splitlines()[1:]]
    said = itertools.dropwhile(lambda line: not line.strip("-"), lines)
    return " ".join(itertools.takewhile(lambda line: line.strip("-"), said)) + "; see --help"


def _stop(message: str) -> Any:
    """The line stays whole: it goes past the text layer, where another thread's (Orbax's) may have begun."""
    line = f"error: {message}\n"
    with contextlib.suppress(BrokenPipeError):
        if isinstance(sys.stderr, io.TextIOWrapper):
            sys.stderr.buffer.write(line.encode(sys.stderr.encoding, "backslashreplace"))
            sys.stderr.buffer.flush()
        elif sys.stderr:  # a notebook's
            sys.stderr.write(line)
    sys.exit(2)
