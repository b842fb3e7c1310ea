"""Settings in a file: options of a command as JSON or TOML, read by --config, printed by --print-config."""

import inspect
import json
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError, lookup, reason

NOT_SETTINGS = ("config", "print_config")
# What else is in the config.json of a run: found out or noted, not asked for.
FOUND_OUT = ("classes", "data_options", "fingerprint", "imported", "ink_centre", "ink_span", "input")
NOTED = ("command", "continued", "date", "device", "versions")


def file_of(arguments: Sequence[str]) -> Path | None:
    """Returns the file that --config names among the arguments of a command; the last of several."""
    found = None
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if word == "--config" and following:
            found = following
        elif word.startswith("--config="):
            found = word.removeprefix("--config=")
    return Path(found) if found else None


def arguments_in(path: Path, function: Callable[..., Any]) -> list[str]:
    """Returns the options in a file as arguments of a command line.

    Args:
        path: JSON or TOML file (by its ending, .toml) of options by name, or the config.json of a run.
        function: The command; its parameters are the options.

    Raises:
        UserError: If the file cannot be read, or names something that is no option.
    """
    parameters = inspect.signature(function).parameters
    known = {name: name for name in parameters if name not in NOT_SETTINGS}
    hints = typing.get_type_hints(function)
    words: list[str] = []
    for key, value in _of_run(_read(path)).items():
        try:
            name = lookup(known, key.replace("-", "_"), "option")
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        words += _words(path, name, value, hints[name])
    return words


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}; give a file that can be read") from error
    except (ValueError, RecursionError) as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON (or give it the ending .toml)"
        raise UserError(f"--config {path} cannot be read as {kind}: {reason(error)}") from error
    if not isinstance(found, dict):
        raise UserError(f'--config {path} does not hold options by name: give {{"epochs": 20, ...}}')
    return found


def _of_run(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options among the settings of a run; those of another file as they are."""
    if not isinstance(found.get("input"), dict):
        return dict(found)
    options = {key: value for key, value in found.items() if key not in (*FOUND_OUT, *NOTED, "outputs")}
    return options | dict(found.get("data_options") or {}) | {"classes": found.get("outputs")}


def _words(path: Path, name: str, value: Any, hint: Any) -> list[str]:
    """Returns an option with its value as words of a command line; none for null, which is the default."""
    option = f"--{name.replace('_', '-')}"
    if value is None:
        return []
    if hint is bool:
        if not isinstance(value, bool):
            raise UserError(f"{path}: {name} is {value!r}: it must be true or false")
        return [option if value else option.replace("--", "--no-", 1)]
    if isinstance(value, list) and not any(typing.get_origin(one) is tuple for one in typing.get_args(hint)):
        raise UserError(f"{path}: {name} is {value!r}: give one value, not a list")
    values = value if isinstance(value, list) else [value]
    if wrong := [one for one in values if isinstance(one, bool | dict | list | None)]:
        raise UserError(f"{path}: {name} is {wrong[0]!r}: give a number, a text or a list of those")
    texts = [str(one) for one in values]
    if not isinstance(value, list):
        return [f"{option}={texts[0]}"]
    if options := [text for text in texts if text.startswith("--")]:
        raise UserError(f"{path}: {name} holds {options[0]!r}, which is an option of its own")
    return [option, *texts]


def to_json(settings: Mapping[str, Any]) -> str:
    """Returns settings as a JSON object that --config takes."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return json.dumps(plain, indent=2)
