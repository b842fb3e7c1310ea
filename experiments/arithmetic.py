"""Which code a row's figures depend on, as a hash: a row is old when that code is no longer the same."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# What decides on the numbers. The rest of the package reads, records and draws.
DECIDES = (
    *("nn", "models", "optim", "losses", "metrics", "schedules", "cpu", "course"),
    *("data/augment", "train/step", "train/sums"),
)


def fingerprint(script: str, root: Path = ROOT) -> str:
    """Returns a hash of all that decides on the numbers of a script in this folder, 12 hexadecimal digits.

    These are the files of `DECIDES` that the script imports, directly or through others. Comments, docstrings
    and layout do not count, and neither do checks that can only raise (`_is_check`): a run that came to its
    end was not touched by them.

    Args:
        script: Name of the script, without .py.
        root: Folder of the repository, for asking about another state of it.

    Examples:
        >>> fingerprint("letters") == fingerprint("letters") != fingerprint("gradient_descent")
        True
    """
    known, waiting = set(), [root / "experiments" / f"{script}.py"]
    while waiting:
        path = waiting.pop()
        if path not in known:
            known.add(path)
            waiting += _imported(path, root)
    digest = hashlib.sha256()
    for path in sorted(known):
        name = path.relative_to(root).as_posix()
        if any(name.startswith((f"jaxnets/{part}/", f"jaxnets/{part}.py")) for part in DECIDES):
            digest.update(name.encode() + b"\0" + _code(path).encode())
    return digest.hexdigest()[:12]


@cache
def _code(path: Path) -> str:
    """What a file computes: its syntax without docstrings, the same text under every Python."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return repr(_plain(tree))


def _plain(node: Any) -> Any:
    """A tree as tuples, without what is empty: later Pythons have more fields, and print in other ways."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return (type(node).__name__, *((name, value) for name, value in fields if value not in (None, ())))
    return tuple(_plain(one) for one in node if not _is_check(one)) if isinstance(node, list) else node


def _is_check(node: Any) -> bool:
    """Whether a statement only raises: by itself, or by a function whose result it does not use."""
    match node:
        case ast.Raise() | ast.ImportFrom(module="jaxnets.errors") | ast.Expr(ast.Call(ast.Name())):
            return True
        case ast.If(orelse=[]) if not any(isinstance(part, ast.NamedExpr) for part in ast.walk(node.test)):
            return all(map(_is_check, node.body))
        case ast.For(orelse=[]):
            return all(map(_is_check, node.body))
    return False


@cache
def _imported(path: Path, root: Path) -> tuple[Path, ...]:
    """The files of ours that a file imports anywhere in it, with the __init__ of their packages."""
    found = []
    for name in _names(ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] in ("jaxnets", "experiments") and parts[1:2] != ["cli"]:  # which reaches everything
            for length in range(1, len(parts) + 1):
                place = root.joinpath(*parts[:length])
                found += [
                    file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()
                ]
    return tuple(found)


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)
