"""What all adapters share: to refuse what we lack, to note what was used, to exchange what has a name."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import pytest
from jax.experimental.sparse import JAXSparse

USED: set[str] = set()  # the parts of ours that the running test has called


class Unsupported(pytest.skip.Exception):
    """The test asks for a class or an argument that jaxnets does not have; no `except Exception` hides it."""


def use(name: str) -> None:
    """Notes that the running test is one of ours."""
    USED.add(name)


def refuse(what: str) -> Any:
    """Ends the test: it is unsupported."""
    raise Unsupported(f"jaxnets has no {what}")


def exchange(original: Any, ours: Any) -> None:
    """Replaces an object wherever Keras's modules have a name for it."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("keras.", "keras_")) or name == "keras":
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, ours)
                elif type(value) is dict:  # Keras's tables of names
                    value.update({name: ours for name, item in value.items() if item is original})


def snake(name: str) -> str:
    """Returns CamelCase as snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def given(instance: Any, neutral: set[str]) -> dict[str, Any]:
    """Returns the arguments in an object's configuration that are not the defaults of its class."""
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(type(instance)).parameters.items()
    }
    config = instance.get_config()
    return {
        name: value
        for name, value in config.items()
        if name not in neutral and not same(value, defaults.get(name))
    }


def same(value: Any, default: Any) -> bool:
    """Returns whether an argument is the default, in the form that a configuration gives it."""
    if isinstance(value, (list, tuple)) and not isinstance(default, (list, tuple)):
        return all(item == default for item in value)  # strides=1 is (1, 1) in a configuration
    if isinstance(value, Mapping) or type(value).__module__.startswith(("numpy", "jax")):
        return value is default
    return value == default or (default is None and value in ("linear", "channels_last"))


def renamed(arguments: Mapping[str, Any], known: Mapping[str, str], what: str) -> dict[str, Any]:
    """Returns arguments under our names; refuses those that are not among the known ones."""
    for name in arguments.keys() - known.keys():
        refuse(f"{what}({name}={arguments[name]!r})")
    return {known[name]: value for name, value in arguments.items()}


def wrap(owner: type, method: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces a method by what `make` makes of it."""
    setattr(owner, method, make(getattr(owner, method)))


def array(value: Any, dtype: Any = None) -> Any:
    """Returns what Keras calls a tensor as a JAX array."""
    value = getattr(value, "value", value)
    if isinstance(value, JAXSparse):
        refuse("sparse arrays")
    return jnp.asarray(value, dtype)
