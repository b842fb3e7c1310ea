"""The layers of a module in Keras's terms, and whether a Keras layer's weights fit one of them."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxnets.keras_weights.tree import KERAS_NAMES, ROLE_ORDER, Leaf, Weight
from jaxnets.summary import Summary

Path = tuple[str, ...]
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

    A BatchNorm without gamma or beta counts as one with gamma 1 or beta 0: such a weight has no handle.
    """
    weights = leaf.weights
    roles = [weight.role for weight in weights]
    if target.roles == ["scale", "bias", "mean", "var"] and "mean" in roles and len(roles) < 4:
        constant = {"scale": np.ones, "bias": np.zeros}
        weights = [
            weights[roles.index(role)]
            if role in roles
            else Weight(role, constant[role](weights[-1].value.shape))
            for role in target.roles
        ]
    if [weight.value.shape for weight in weights] != target.shapes:
        return None
    return dict(zip(target.variables, weights, strict=True))


def kind(shapes: Shapes) -> tuple[int, ...]:
    """Returns the arrays' ranks: (4, 1) for convolutions, (2, 1) dense, (2, 2, 1) recurrent, () vectors."""
    ranks = tuple(len(shape) for shape in shapes)
    return ranks if max(ranks) > 1 else ()


def by_kind(layers: Sequence[Any], by_class: bool = False) -> dict[Any, list[Any]]:
    kinds: dict[Any, list[Any]] = defaultdict(list)
    for layer in layers:
        kinds[layer.class_name if by_class else kind(layer.shapes)].append(layer)
    return kinds
