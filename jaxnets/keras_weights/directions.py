"""Which of two recurrent layers of a module goes backwards, where the file names the directions alone.

A file of weights says of the parts of Bidirectional which is forward and which is backward, but not which of
the module's layers is which. The module's run tells: one is given the other's input in reverse, and the
forward one is given the numbers of earlier layers in their order.
"""

from collections.abc import Iterable

import jax
import numpy as np

from jaxnets.keras_weights.composites import direction
from jaxnets.keras_weights.layers import Target
from jaxnets.keras_weights.observe import Observation
from jaxnets.keras_weights.tree import Leaf, Path

Pairs = list[tuple[Leaf, Target]]


def settle_directions(pairs: Pairs, seen: Observation | None) -> tuple[Pairs, set[Path]]:
    """Returns the pairs with the directions where they belong, and the layers of which that is known."""
    result, settled = list(pairs), set[Path]()
    both: dict[Path, dict[str, int]] = {}
    for i, (leaf, _) in enumerate(pairs):
        if way := direction(leaf.path):
            both.setdefault(leaf.path[:-1], {})[way] = i
    for parts in both.values():
        if len(parts) < 2 or seen is None:
            continue
        i, j = parts["forward"], parts["backward"]
        (forth, one), (back, other) = result[i], result[j]
        if one.shapes != other.shapes or one.name not in seen.layers or other.name not in seen.layers:
            continue
        x, y = seen.layers[one.name].input, seen.layers[other.name].input
        if x is None or y is None or not np.array_equal(x, y[:, ::-1]):
            continue
        backward = {target.name for leaf, target in result if direction(leaf.path) == "backward"}
        before = [layer.output for name, layer in seen.layers.items() if name not in backward]
        ways = tuple(_is_forward(one, [*seen.inputs, *before]) for one in (x, y))
        if ways == (False, True):
            result[i], result[j] = (forth, other), (back, one)
        if ways[0] != ways[1]:
            settled |= {forth.path, back.path}
    return result, settled


def _is_forward(x: jax.Array, earlier: Iterable[jax.Array]) -> bool:
    """Whether the first step of x holds numbers from the first step of an earlier array."""
    steps = [array[0, 0] for array in earlier if array.ndim == 3 and array.shape[1] == x.shape[1]]
    return any(np.isin(x[0, 0], step).any() and not np.isin(x[0, -1], step).any() for step in steps)
