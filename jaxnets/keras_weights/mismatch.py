"""The error sentence that names every layer which does not fit."""

import difflib

from jaxnets.keras_weights.layers import Shapes, Target, by_kind, pair_weights
from jaxnets.keras_weights.tree import Leaf

SUGGESTION = (
    "give the Keras model itself, or a .keras file of a functional or sequential model,"
    " or save it with Keras 3.6 or later, or name its layers as the module's"
)


def _shapes(shapes: Shapes) -> str:
    return " ".join(str(shape) for shape in shapes)


def describe(
    named: list[tuple[Leaf, Target]], leaves: list[Leaf], targets: list[Target], source: str, module: str
) -> str:
    """Returns one sentence on everything that does not fit."""
    misshapen = [pair for pair in named if pair_weights(*pair) is None]
    missing: list[Target] = []
    left_over: list[Leaf] = []
    ours, theirs = by_kind(targets), by_kind(leaves)
    for k in {**ours, **theirs}:
        a, b = theirs.get(k, []), ours.get(k, [])
        unpaired: tuple[list[Leaf], list[Target]] = [], []
        signs = [str(layer.shapes) for layer in a], [str(layer.shapes) for layer in b]
        for tag, a0, a1, b0, b1 in difflib.SequenceMatcher(
            a=signs[0], b=signs[1], autojunk=False
        ).get_opcodes():
            if tag == "equal":
                continue
            unpaired[0].extend(a[a0:a1])
            unpaired[1].extend(b[b0:b1])
        pairs = zip(*unpaired, strict=False)
        misshapen += [pair for pair in pairs if pair_weights(*pair) is None]
        common = min(len(unpaired[0]), len(unpaired[1]))
        left_over += unpaired[0][common:]
        missing += unpaired[1][common:]
    parts = {
        "missing": [f"{target.name} {_shapes(target.shapes)}" for target in missing],
        "left over": [f"{leaf.name} {_shapes(leaf.shapes)}" for leaf in left_over],
        "misshapen": [
            f"{leaf.name} {_shapes(leaf.shapes)} for {target.name} {_shapes(target.shapes)}"
            for leaf, target in misshapen
        ],
    }
    listed = "; ".join(f"{title}: {', '.join(names)}" for title, names in parts.items() if names)
    if not listed:
        listed = f"the layers are the same, but in an order that cannot be reconciled: {SUGGESTION}"
    return f"{source} does not fit {module}: {listed}"
