"""What a run came from: versions, device, command and date, noted in its config.json."""

import platform
from collections import ChainMap
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import flax
import jax
import optax

import jaxnets
from jaxnets import hints
from jaxnets.machine.description import devices

CONTINUED = "continued"
RECORDED = ("versions", "device", "command", "date", CONTINUED)  # the keys of config.json that are noted here


def origin(held: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what to note of a run now.

    Args:
        held: The contents of the run's config.json so far, {} if it begins now.

    Returns:
        versions (of python, jax, flax, optax and jaxnets), device, command (None in a notebook) and date
        (UTC, ISO 8601) of the beginning; and if a process with others of these has been given the run since,
        continued: a list of what was new each time, with the date.
    """
    now = {"versions": _versions(), "device": devices(), "command": hints.command()}
    date = {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    if not held:
        return now | date
    began = {key: held[key] for key in RECORDED if key in held}
    known = began.get(CONTINUED)
    continued = [one for one in known if isinstance(one, dict)] if isinstance(known, list) else []
    latest = dict(ChainMap(*reversed(continued), began))
    new = {key: value for key, value in now.items() if value != latest.get(key)}
    return began | {CONTINUED: [*continued, new | date]} if new else began


def _versions() -> dict[str, str]:
    found = {module.__name__: module.__version__ for module in (jax, flax, optax, jaxnets)}
    return {"python": platform.python_version()} | found
