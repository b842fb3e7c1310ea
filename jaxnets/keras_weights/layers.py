"""The layers of a module in Keras's terms, and whether a Keras layer's weights fit one of them."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxnets.keras_weights.tree import KERAS_NAMES, ROLE_ORDER, Leaf, Path, Weight
from jaxnets.summary import Summary

# Variables of a normalization that has one of gamma and beta, which a file without names does not tell apart.
ONE_OF_TWO = [[name, *rest] for name in ("scale", "bias") for rest in ([], ["mean", "var"])]

Shapes = list[tuple[int, ...]]


@dataclasses.dataclass(eq=False)
class Target:
    """A layer of the module that owns variables, which are in Keras's order of weights."""

    path: Path
    type: str
    variables: dict[Path, jax.ShapeDtypeStruct]
    fed_by: frozenset[str]

    @property
    def name(self) -> str:
        return "/".join(self.path)

    @property
    def class_name(self) -> str | None:
        name = KERAS_NAMES.get(self.type)
        return name.format(rank=max(map(len, self.shapes)) - 2) if name else None

    @property
    def roles(self) -> list[str]:
        return [path[-1] for path in self.variables]

    @property
    def shapes(self) -> Shapes:
        return [tuple(array.shape) for array in self.variables.values()]


def targets_of(summary: Summary) -> list[Target]:
    """Returns the layers of a module that own variables, in call order."""

    def rank(path: Path) -> tuple[int, str]:
        return (ROLE_ORDER.index(path[-1]) if path[-1] in ROLE_ORDER else len(ROLE_ORDER), path[-1])

    return [
        Target(
            tuple(row.name.split("/")) if row.name else (),
            row.type,
            {path: row.variables[path] for path in sorted(row.variables, key=rank)},
            row.fed_by,
        )
        for row in summary.layers
        if row.variables
    ]


def pair_weights(leaf: Leaf, target: Target) -> dict[Path, Weight] | None:
    """Returns the Keras weight for every variable of the layer, or None if they do not fit.

    Weights are paired by role or name, and otherwise by shape, in order; no weight takes another role. A
    BatchNorm without gamma or beta counts as one with gamma 1 or beta 0: such a weight has no handle.
    """
    left, pairs = _with_constants(leaf.weights, target), {}
    if len(left) != len(target.variables):
        return None
    for path in target.variables:
        same = [weight for weight in left if path[-1] in (weight.role, weight.name)]
        if len(same) == 1:
            pairs[path] = same[0]
            left = [weight for weight in left if weight is not same[0]]
    for path, array in target.variables.items():
        if path not in pairs:
            fitting = [weight for weight in left if _may_be(weight, path[-1], array.shape)]
            if not fitting:
                return None
            pairs[path] = fitting[0]
            left = [weight for weight in left if weight is not fitting[0]]
    if any(weight.value.shape != target.variables[path].shape for path, weight in pairs.items()):
        return None
    return {path: pairs[path] for path in target.variables}


def _may_be(weight: Weight, name: str, shape: tuple[int, ...]) -> bool:
    """Whether a weight may be a variable of this name: not if both have names and they mean other things."""
    other = weight.role is not None and name in ROLE_ORDER and weight.role != name
    return weight.value.shape == shape and not other


def _with_constants(weights: list[Weight], target: Target) -> list[Weight]:
    roles = [weight.role for weight in weights]
    if target.roles != ["scale", "bias", "mean", "var"] or "mean" not in roles or len(roles) >= 4:
        return weights
    constant = {"scale": np.ones, "bias": np.zeros}
    shape = weights[-1].value.shape
    return [
        weights[roles.index(role)] if role in roles else Weight(role, constant[role](shape))
        for role in target.roles
    ]


def unclear(leaf: Leaf, target: Target) -> list[str]:
    """Returns the variables for which only the order of a layer's weights chose among those of equal shape.

    For a layer that Keras has too, the order is Keras's, which is known, unless gamma or beta is missing.
    """
    names = {name for weight in leaf.weights for name in (weight.role, weight.name)}
    open_names = [path[-1] for path in target.variables if path[-1] not in names]
    shapes = [array.shape for path, array in target.variables.items() if path[-1] in open_names]
    if target.class_name is not None and not any(weight.role for weight in leaf.weights):
        return open_names[:1] if open_names in ONE_OF_TWO else []
    return [
        name
        for name, shape in zip(open_names, shapes, strict=True)
        if shapes.count(shape) > 1 and len(leaf.weights) == len(target.variables)
    ]


def part(path: Path) -> str | None:
    """Returns which part of an attention a layer is, by Linen's name for it; None for other layers."""
    return path[-1] if path[-1:] and path[-1] in ("query", "key", "value", "out") else None


def kind(shapes: Shapes) -> tuple[int, ...]:
    """Returns the arrays' ranks: (4, 1) for convolutions, (2, 1) dense, (2, 2, 1) recurrent, () vectors."""
    ranks = tuple(len(shape) for shape in shapes)
    return ranks if max(ranks) > 1 else ()


def by_kind(layers: Sequence[Any], by_class: bool = False) -> dict[Any, list[Any]]:
    kinds: dict[Any, list[Any]] = defaultdict(list)
    for layer in layers:
        kinds[layer.class_name if by_class else kind(layer.shapes)].append(layer)
    return kinds
