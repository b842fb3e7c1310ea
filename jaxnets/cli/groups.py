"""Options in groups: a page of help that can be read, made from a function's plain signature."""

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
CONFIG = (
    "JSON or TOML file with options by name, or the config.json of a run. Options beside it prevail. "
    "By default none."
)


def grouped(**groups: str) -> Callable[[F], F]:
    """Returns a decorator that puts the options of a command into groups, each a text of their names.

    The group `run` gets the option --config as well; see `jaxnets.cli.settings`.
    """

    def decorate(function: F) -> F:
        names = [name for group in groups.values() for name in group.split()]
        if sorted(names) != sorted(inspect.signature(function).parameters):
            raise TypeError(f"every option of {function.__name__} must be in one group")
        function.groups = {title: group.split() for title, group in groups.items()}  # type: ignore[attr-defined]
        return function

    return decorate


def groups_of(function: Any) -> dict[str, list[str]]:
    """Returns the groups that `grouped` gave a command, {} if it has none."""
    return getattr(function, "groups", {})


def by_groups(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of one dataclass per group, for tyro, that passes their fields to `call`."""
    from tyro.conf import OmitArgPrefixes, arg

    hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    summary, _, described = inspect.cleandoc(function.__doc__ or "").partition("Args:")
    about = dict(re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", described, re.MULTILINE))
    groups = groups_of(function)

    def field(name: str) -> tuple[str, Any, Any]:
        text = " ".join(about[name].split())
        # "By default ..." in the text says more than None does.
        hint = arg(help=text, help_behavior_hint="") if defaults[name] is None else arg(help=text)
        return name, Annotated[hints[name], hint], defaults[name]

    def one(**given: Any) -> Any:
        values = [dataclasses.asdict(group).items() for group in given.values()]
        return call(**{name: value for pairs in values for name, value in pairs if name != "config"})

    parameters, without_prefix = [], cast("Any", OmitArgPrefixes)
    for title, names in groups.items():
        fields = [field(name) for name in names]
        if title == "run":
            config = Annotated[Path | None, arg(help=CONFIG, help_behavior_hint="", metavar="FILE")]
            fields.append(("config", config, None))
        group: Any = dataclasses.make_dataclass(title, fields)
        group.__doc__ = None  # which would be its signature
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(title, kind, annotation=without_prefix[group]))
    functools.update_wrapper(one, function)
    del one.__wrapped__  # type: ignore[attr-defined]
    one.__doc__ = summary
    one.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    one.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return one
