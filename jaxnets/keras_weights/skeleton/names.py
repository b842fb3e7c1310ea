"""Safe Python for what a file contains: identifiers, strings and comments."""

import builtins
import json
import keyword
import re
import textwrap
import unicodedata
from collections.abc import Collection
from typing import Any

from flax import linen

LONGEST = 60  # characters of an identifier
RESERVED = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "self", "train", "inputs"}
RESERVED |= {"jax", "jnp", "linen", "nn", "Any", "Net", "each_step"}
TAKEN = {*dir(linen.Module), "name", "parent", "scope"}  # what a Linen layer must not be called


def identifier(name: str, taken: Collection[str]) -> str:
    """Returns a Python identifier that is like a name, and not taken."""
    made = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name))[:LONGEST]
    made = made if made.isidentifier() else re.sub(r"[^a-zA-Z0-9_]", "_", made)
    made = made if made.isidentifier() else f"_{made}"
    return unique(made + "_" * (made in RESERVED), taken)


def class_name(name: str, taken: Collection[str]) -> str:
    """Returns the identifier of a class: DenseBlock for dense_block."""
    words = re.findall(r"[A-Za-z0-9]+", unicodedata.normalize("NFKC", name))
    joined = "".join(word[:1].upper() + word[1:] for word in words) or "Layer"
    return identifier(joined if not joined[0].isdigit() else f"Model{joined}", taken)


def layer_name(name: str, taken: Collection[str]) -> str:
    """Returns a name for a Linen layer: the layer's own, if Linen allows it."""
    made = re.sub(r"[/\s]", "_", name) or "layer"
    return unique(made + "_" * (made in TAKEN), taken)


def unique(name: str, taken: Collection[str]) -> str:
    """Returns the name, with a number if it is taken."""
    numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def quoted(text: str) -> str:
    """Returns a string as Python writes it, on one line."""
    if not text.isprintable():
        return ascii(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def plain(text: str) -> str:
    """Returns a text for a docstring: of what could end it, nothing."""
    return "".join(c if c.isprintable() and c not in "\\\"'" else "?" for c in text[:200])


def comment(text: str, indent: int) -> list[str]:
    """Returns a comment, however long, in lines."""
    start = " " * indent + "# "
    shown = text if text.isprintable() else ascii(text)
    return textwrap.wrap(shown, 110, initial_indent=start, subsequent_indent=start, break_on_hyphens=False)


def settings(config: Any, most: int = 2000) -> str:
    """Returns a configuration as JSON on one line, cut after so many characters."""
    text = json.dumps(config, default=str)
    return text if len(text) <= most else f"{text[:most]} ..."
