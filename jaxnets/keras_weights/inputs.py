"""The inputs of a Keras model, and how a module is given them: as arguments, as a dict, or as a list."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from flax import linen

from jaxnets.errors import UserError
from jaxnets.keras_weights.tree import Node, config_name, histories, input_shape, layer_configs
from jaxnets.keras_weights.weightless import ODD
from jaxnets.summary.inputs import Shapes, arguments, is_shape

Shape = tuple[int, ...]


def keras_inputs(root: Node) -> dict[str, Shape | None]:
    """Returns the shapes of the inputs of a functional model, without the batch, by name and in its order.

    A name is a key if the model takes a dict, and else that of the input layer. A shape that is not known, or
    that has an unknown side, is None.
    """
    layers = {config_name(layer): layer for layer in layer_configs(root.config) or []}
    listed = _listed(root)
    named = {str(key): histories(value)[:1] for key, value in listed.items()} if _is_dict(listed) else {}
    if not named:
        named = {name: [name] for name in histories(listed)}
    found = {key: input_shape([layers[name]]) for key, (name, *_) in named.items() if name in layers}
    return {key: None if shape is None or None in shape else shape for key, shape in found.items()}  # type: ignore[misc]


def _listed(root: Node) -> Any:
    inner = root.config.get("config") if isinstance(root.config, Mapping) else None
    return inner.get("input_layers") if isinstance(inner, Mapping) else None


def _is_dict(listed: Any) -> bool:
    return isinstance(listed, Mapping) and all(len(histories(value)) == 1 for value in listed.values())


def in_order(given: tuple[Any, ...], names: Sequence[str] | Mapping[str, Any]) -> list[jax.Array | None]:
    """Returns the arrays that a module was called with in the order of the Keras model's inputs, by name."""
    if isinstance(given[0], Mapping) and len(given) == 1:
        return [given[0].get(name) for name in names]
    return jax.tree.leaves(given)


def ways(module: linen.Module, shapes: Mapping[str, Shape], dtype: Any) -> Iterator[Shapes]:
    """Yields the ways to call a module with several inputs that it takes.

    A tuple stands for several arguments, a dict for one dict, and a list for one list, as in `summarize`.
    """
    needed = [
        parameter
        for parameter in inspect.signature(type(module).__call__).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ][1:]
    several = len(needed) == len(shapes) or any(one.kind is one.VAR_POSITIONAL for one in needed)
    for way in (tuple(shapes.values()), dict(shapes), list(shapes.values())):
        if isinstance(way, tuple) and not several:
            continue
        try:
            jax.eval_shape(module.init, jax.random.key(0), *arguments(way, dtype))
        except (*ODD, UserError):
            continue
        yield way


def shapes_for(
    module: linen.Module, root: Node, source: str, dtype: Any, given: Shapes | None
) -> tuple[Shapes, bool]:
    """Returns the shapes that the module is called with, and whether they come from the source.

    Raises:
        UserError: If the source does not contain them, or the module cannot be called so.
    """
    if given is not None:
        if is_shape(given) and None in given:
            raise _unknown(source)
        return given, False
    several = keras_inputs(root)
    if len(several) < 2 and not _is_dict(_listed(root)):
        if root.input_shape is None or None in root.input_shape:
            raise _unknown(source)
        return root.input_shape, True
    known = {name: shape for name, shape in several.items() if shape is not None}
    if len(known) < len(several):
        raise UserError(
            f"{source} does not contain the shapes of all its inputs, {', '.join(several)}: give input_shape="
            ", a dict of shapes by name for a module that takes a dict, or a tuple for several arguments"
        )
    way = next(ways(module, known, dtype), None)
    if way is None:
        listed = ", ".join(f"{name} {shape}" for name, shape in known.items())
        raise UserError(
            f"{type(module).__name__} takes the inputs of {source}, {listed}, neither as arguments nor as "
            "a dict by name or a list: give input_shape= (and dtype=) as it takes them"
        )
    return way, True


def _unknown(source: str) -> UserError:
    return UserError(
        f"{source} does not contain the shape of its inputs: give input_shape=, without the batch axis"
    )
