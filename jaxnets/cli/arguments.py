"""What the arguments of a command must be, by their types and names: checked before it does anything."""

import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError

WHOLE = (1, 1_000_000)  # what a whole number may be; from its default on, if that is less
RANGES: dict[str, tuple[float, float]] = {  # of those with limits of their own
    "first_label": (0, 1_000_000),
    "seed": (0, 2**32 - 1),
    "seeds": (0, 2**32 - 1),
    "port": (0, 65_535),
    "threshold": (0, 255),
    "size": (1, 10_000),
    "side": (1, 10_000),
    "learning_rate": (0, 1_000_000),
    "weight_decay": (0, 1_000_000),
    "clip": (0, 1_000_000),
    "ema": (0, 1),
    "label_smoothing": (0, 1),
}
ABOVE, BELOW = ("learning_rate", "clip"), ("ema", "label_smoothing")  # of these, those without an end
LONGEST = 200  # characters of a name, which become part of file names of up to 255 bytes
FOLDERS, FILES = ("workdir",), ("out", "output", "sheet", "picture")  # options that name what is written
MADE = ("data_dir",)  # the folder that is read or written, as needed


def check(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Checks the arguments of a command.

    Raises:
        UserError: If a number is out of range, a text is empty, too long or cannot be printed, a file to read
            is missing, or a place to write to cannot be written.
    """
    signature = inspect.signature(function)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        positional = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        option = name.upper() if positional else f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else [value]:
            if isinstance(one, int | float) and not isinstance(one, bool):
                _check_number(option, name, one, _range(name, one, parameter.default))
            elif isinstance(one, str):
                _check_text(option, one)
            elif isinstance(one, Path):
                _check_path(option, one)
                if not positional:
                    _check_use(option, name, one)


def _range(name: str, value: float, default: Any) -> tuple[float, float]:
    if name in RANGES or isinstance(value, float):
        return RANGES.get(name, (-math.inf, math.inf))
    low, high = WHOLE
    return (min(low, default) if isinstance(default, int) else low), high


def _check_number(option: str, name: str, value: float, between: tuple[float, float]) -> None:
    low, high = between
    if not math.isfinite(value):
        raise UserError(f"{option} {value}: it must be a finite number")
    above, below = name in ABOVE, name in BELOW
    if not low <= value <= high or (above and value == low) or (below and value == high):
        within = f"{low:,} to {high:,}"
        if above or below:
            within = f"{'more than' if above else 'at least'} {low:,} and "
            within += f"{'less than' if below else 'at most'} {high:,}"
        raise UserError(f"{option} {value}: it must be {within}")


def _check_text(option: str, text: str) -> None:
    if not text:
        raise UserError(f"{option} is empty: give a name, or leave it out")
    if len(text) > LONGEST or not text.isprintable():
        shown = text if len(text) <= LONGEST else f"{text[:20]}..."
        raise UserError(f"{option} {shown!a}: give at most {LONGEST} characters, all of which can be printed")


def _check_path(option: str, path: Path) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        if any(len(os.fsencode(part)) > LONGEST for part in path.parts):
            raise UserError(f"{option}: a name of more than {LONGEST} bytes is too long") from None
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}; give another path") from error


def _check_use(option: str, name: str, path: Path) -> None:
    """Checks what an option's path is used for: it can be written, or it is there to be read."""
    if name in MADE and path.exists() and not path.is_dir():
        raise UserError(f"{option} {path} is a file: give a folder")
    if name not in (*MADE, *FOLDERS, *FILES) and not path.exists():
        raise UserError(f"{option} {path}: there is no such file or folder")
    if name in (*FOLDERS, *FILES):
        _check_writable(option, path, is_file=name in FILES)


def _check_writable(option: str, path: Path, is_file: bool) -> None:
    if is_file and path.is_dir():
        raise UserError(f"{option} {path} is a folder: name a file in it")
    there = path.absolute()
    there = there.parent if is_file else there
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{option} {path}: {there} cannot be written; choose another place")
