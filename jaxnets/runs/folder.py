"""The folder of a run that was given none: its own if it has begun, or a new one named by what differs."""

import itertools
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError
from jaxnets.machine.distributed import run_on_writer, same_text
from jaxnets.runs.config import default_folder
from jaxnets.train import read_config, write_config
from jaxnets.train.io.workdir import differences, in_words, is_free

SHORT = {"learning_rate": "lr", "batch_size": "batch"}
NAMELESS = ("fingerprint", "start")  # settings that no name can hold
LONGEST = 100  # characters of a folder's name; a longer one gets a number instead
TRIES = 4  # to begin a run, while others begin theirs


def open_folder(workdir: Path | str | None, name: str, config: Mapping[str, Any]) -> Path:
    """Writes a run's configuration into its folder, and returns the folder.

    By default it is ``runs/NAME``. If another run is there, it is ``runs/NAME-WORDS`` with what differs from
    that one in words, such as ``lenet5-digits-sgd-lr0.01``, or else ``runs/NAME-2`` and so on. The same
    configuration always finds the folder in which it began.

    Args:
        workdir: The folder asked for; None for the default.
        name: The name of the default folder.
        config: The configuration; see `jaxnets.train.write_config`.

    Raises:
        UserError: If the folder asked for is not that of this run, or cannot be written.
    """
    if workdir is not None:
        write_config(workdir, config)
        return Path(workdir)
    base, asked = default_folder(name), json.loads(json.dumps(config))
    folder = _agreed(base, asked)
    for tries in itertools.count(1):
        try:
            write_config(folder, config)
            return folder
        except UserError:
            if tries == TRIES:
                raise
            time.sleep(0.5)  # perhaps another run has just begun there
            folder = _agreed(base, asked)
    raise AssertionError


def _agreed(base: Path, config: Mapping[str, Any]) -> Path:
    """Returns the folder that the process which writes chooses, in all processes."""
    chosen = [""]
    run_on_writer(lambda: chosen.append(str(_choose(base, config))))
    return Path(same_text(chosen[-1]))


def _choose(base: Path, config: Mapping[str, Any]) -> Path:
    taken = {folder: _held(folder) for folder in _candidates(base, config)}
    for folder, held in taken.items():
        if held is not None and not differences(held, config):
            return folder
    if is_free(base):
        return base
    held, names = taken.get(base), [f"{base.name}-{number}" for number in range(2, len(taken) + 3)]
    changed = [] if held is None else [key for key in (*config, *held) if key in differences(held, config)]
    words = [_word(key, config.get(key)) for key in dict.fromkeys(changed)]
    if words and all(words):
        names = [name for name in ("-".join([base.name, *words]),) if len(name) <= LONGEST] + names
    folder = next(base.with_name(name) for name in names if is_free(base.with_name(name)))
    why = [] if held is None else [in_words(key, held, config) for key in dict.fromkeys(changed)]
    holds = f"a run with {'; '.join(why)}" if why else "something else"
    print(f"{base} holds {holds}: this run is in {folder}", file=sys.stderr)
    return folder


def _candidates(base: Path, config: Mapping[str, Any]) -> Iterator[Path]:
    """Yields the folders that a run of this configuration may have been given, if there is a run in them."""
    words = [word for key, value in config.items() if (word := _word(key, value))]
    for folder in [base, *sorted(base.parent.glob(f"{escape(base.name)}-*"))]:
        rest = folder.name.removeprefix(base.name)
        named = "".join(f"-{word}" for word in words if f"-{word}-" in f"{rest}-")
        if rest in ("", named) or re.fullmatch(r"-\d+", rest):
            yield folder


def _held(folder: Path) -> dict[str, Any] | None:
    """Returns the configuration in a folder; None if there is none, or, with a warning, if it is damaged."""
    if not (folder / "config.json").exists():
        return None
    try:
        return read_config(folder)
    except UserError as error:
        print(f"left alone: {error}", file=sys.stderr)
        return None


def _word(key: str, value: Any) -> str:
    """Returns a setting as part of a folder's name, "" if it cannot be one."""
    if key in NAMELESS or value is None or value is False:
        return ""
    if value is True:
        return key
    if isinstance(value, int | float):
        return f"{SHORT.get(key, key)}{value:g}"
    return value if isinstance(value, str) and re.fullmatch(r"[\w.]+", value) else ""
