"""A command line from a function's signature (tyro), with the exit codes of jaxnets.

0: success; 2: a user error, in one line on stderr; 1: a bug in jaxnets, with its traceback; 130: Ctrl-C
(`jaxnets.cli.ctrl_c`); 0 after SIGTERM, once a training has saved its state.
"""

from jaxnets.cli import begin, ctrl_c

if ctrl_c.imported_by_program():  # a script, which runs no other code of jaxnets before it imports jax
    begin()

import contextlib
import errno
import functools
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxnets import hints
from jaxnets.cli import output, settings
from jaxnets.cli.arguments import check
from jaxnets.cli.groups import by_groups, groups_of
from jaxnets.errors import Interrupted, UserError, lookup, reason

REFUSALS = {  # what a system refuses, whatever the program did
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EMFILE,
}
CHOICE = re.compile(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)\.")  # tyro's
Command = Callable[..., Any] | dict[str, Any]  # a function, or commands by name


def run(
    command: Command, prog: str | None = None, arguments: Sequence[str] | None = None, *, about: str = ""
) -> Any:
    """Calls `command`, or the one of several that the first argument names, with the other arguments.

    Args:
        command: A function whose parameters become the options, or a dict of functions or groups by name.
        prog: Name of the program in the help. By default the name it was called by.
        arguments: Arguments of the command line. By default those of the process.
        about: What several commands are for, in the help.
    """
    prog = prog or hints.program()
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(command, dict) and arguments and arguments[0] in command:
        return run(command[arguments[0]], f"{prog} {arguments[0]}", arguments[1:])
    output.guard()
    try:
        with ctrl_c.cleaning_up(), _flushed():
            if isinstance(command, dict) and arguments and not arguments[0].startswith("-"):
                lookup(command, arguments[0], "command")
            call = _parse(command, prog, _with_file(command, prog, arguments), about)
            if isinstance(sys.stderr, io.TextIOWrapper):  # in whole lines, even with PYTHONUNBUFFERED
                sys.stderr.reconfigure(line_buffering=True, write_through=False)
            if "jax" in sys.modules:  # a script; the commands do the same once they have imported jax
                from jaxnets.machine.process import set_up

                set_up()
            return call()
    except UserError as error:
        _tell_others(error)
        _stop(str(error))
    except Interrupted as stop:
        print(f"{stop}: give the same command again to continue", file=sys.stderr)
        sys.exit(stop.exit_code)
    except KeyboardInterrupt as error:
        _tell_others(error)
        print("stopped", file=sys.stderr)
        sys.exit(ctrl_c.EXIT_CODE)
    except OSError as error:
        if error.filename is None or error.errno not in REFUSALS:
            raise
        _tell_others(error)
        _stop(f"{error.filename}: {error.strerror}; choose another place, or change what it allows")
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        _tell_others(error)
        _stop(f"out of memory ({reason(error)[:200]}): take smaller batches or a smaller network")


def _with_file(command: Command, prog: str, arguments: Sequence[str]) -> Sequence[str]:
    """Returns the arguments behind those in the file that --config names; of two, the latter one counts."""
    file = settings.file_of(arguments)
    if not groups_of(command) or file is None or not callable(command):
        return arguments
    from_file = settings.arguments_in(file, command)
    try:
        _parse(command, prog, from_file)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return [*from_file, *arguments]


def _parse(command: Command, prog: str, arguments: Sequence[str], about: str = "") -> Callable[[], Any]:
    """Returns the call that the arguments ask for; --help and wrong arguments end here."""
    try:
        import tyro
    except ImportError:
        raise UserError(f"the command line needs tyro: {hints.install('tyro')}") from None
    if os.environ.get("NO_COLOR"):  # no-color.org, which tyro does not know
        tyro._experimental_options["ansi_codes"] = False
    config: tuple[Any, ...] = (tyro.conf.DisallowNone,)
    if not groups_of(command):
        config += (tyro.conf.FlagCreatePairsOff,)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # tyro draws boxes around errors; one line is enough
            if callable(command):
                return tyro.cli(_later(command), prog=prog, args=arguments, config=config)
            later = {name: _later(one) for name, one in command.items()}
            return tyro.extras.subcommand_cli_from_dict(
                later, prog=prog, description=about or None, args=arguments, config=config
            )
    except SystemExit as stop:
        if stop.code:
            raise UserError(_one_line(said.getvalue())) from None
        raise


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Context manager that at its end writes what is left to stdout, where a failure can still be told."""
    try:
        yield
    finally:
        sys.stdout.flush()


def _is_out_of_memory(error: Exception) -> bool:
    """Returns whether NumPy or XLA (whose error is no type of its own) could not get memory."""
    return isinstance(error, MemoryError) or (
        type(error).__name__ == "JaxRuntimeError" and "RESOURCE_EXHAUSTED" in str(error)
    )


def _tell_others(error: BaseException) -> None:
    """Tells the other processes of a training that this one fails; without JAX, there are none."""
    if distributed := sys.modules.get("jaxnets.machine.distributed"):
        distributed.fail(error)


def _later(function: Command) -> Callable[..., Callable[[], Any]]:
    """Returns a function of the same signature that only binds its arguments: parsing runs no command."""
    if isinstance(function, dict):
        names = ", ".join(function)

        def group() -> Callable[[], Any]:
            return lambda: _stop(f"name one of its commands: {names}")

        group.__doc__ = f"Several commands: {names}."
        return group

    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        def call() -> Any:
            check(function, *args, **kwargs)
            return function(*args, **kwargs)

        return call

    return by_groups(function, bind) if groups_of(function) else bind


def _one_line(box: str) -> str:
    """Returns tyro's text between a box's title and its first rule; without UTF-8 it is drawn in dashes."""
    lines = [line.strip("╭╮╰╯│─ ") for line in box.splitlines()[1:]]
    grouped = itertools.groupby(lines, lambda line: bool(line.strip("-")))
    parts = [" ".join(part) for is_text, part in grouped if is_text]
    said = parts[0] if parts else "the arguments are wrong"
    if choice := CHOICE.fullmatch(said):
        wrong, option, known = choice.groups()
        names = sorted(set(re.findall(r"'(.*?)'", known)) - {"None"})
        try:
            lookup(dict.fromkeys(names), wrong, f"value of {option}")
        except UserError as error:
            return str(error)
    if close := re.match(r"Perhaps you meant:.*?(--[\w-]+)", " ".join(parts[1:])):
        said += f" (did you mean {close[1]}?)"
    return f"{said}; see --help"


def _stop(message: str) -> Any:
    """Exits with one unbroken line, written past the text layer, where another thread may be writing."""
    shown = (
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(message.splitlines())
    )
    line = f"error: {''.join(shown)}\n"
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.buffer.write(line.encode(sys.stderr.encoding, "backslashreplace"))
        sys.stderr.buffer.flush()
    else:  # a notebook's
        sys.stderr.write(line)
    sys.exit(2)
