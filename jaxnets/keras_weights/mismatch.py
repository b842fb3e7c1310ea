"""The error sentence that names every layer which does not fit."""

import difflib

from jaxnets.errors import UserError
from jaxnets.keras_weights.layers import Shapes, Target, by_kind, pair_weights, unclear
from jaxnets.keras_weights.tree import Leaf

SUGGESTION = (
    "give the Keras model itself, or a .keras file of a functional or sequential model,"
    " or save it with Keras 3.6 or later, or say with rename= (--rename of import-keras) which is which"
)

ALL_THE_SAME = (
    "with unchecked=True (--unchecked of import-keras and export) the weights are taken all the same"
)
MOST = 10  # layers that are named


def refuse_differences(differences: list[str], source: str, module: str) -> None:
    """Raises a UserError that names everything that the module computes otherwise than the Keras model."""
    if differences:
        raise UserError(
            f"{module} does not compute what {source} does: {_listed(differences, '; ')}: "
            f"build the module so; {ALL_THE_SAME}"
        )


def refuse_guesses(guessed: list[Leaf], pairs: list[tuple[Leaf, Target]], source: str) -> None:
    """Raises a UserError if nothing but an order says which layer, or which weight of a layer, is which."""
    for leaf, target in pairs:
        if names := unclear(leaf, target):
            raise UserError(
                f"{source} does not say which weight of {leaf.name} is which, and {', '.join(names)} of "
                f"{target.name} have one shape: give the Keras model itself or a "
                f"legacy .h5, which have names; {ALL_THE_SAME}, in order"
            )
    if guessed:
        partner = {leaf.path: target.name for leaf, target in pairs}
        theirs = _listed([leaf.name for leaf in guessed], ", ")
        ours = _listed([partner[leaf.path] for leaf in guessed], ", ")
        raise UserError(
            f"{source} does not say which of its equal branches is which, {theirs} for {ours}: {SUGGESTION}; "
            f"{ALL_THE_SAME}, in the order in which the layers were created"
        )


def _listed(names: list[str], separator: str) -> str:
    more = [f"and {len(names) - MOST} more"] if len(names) > MOST else []
    return separator.join(names[:MOST] + more)


def _shapes(shapes: Shapes) -> str:
    return " ".join(str(shape) for shape in shapes)


def describe(
    named: list[tuple[Leaf, Target]], leaves: list[Leaf], targets: list[Target], source: str, module: str
) -> str:
    """Returns one sentence on everything that does not fit."""
    misshapen = [pair for pair in named if pair_weights(*pair) is None]
    other_roles: list[tuple[Leaf, Target]] = []
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
                same = zip(a[a0:a1], b[b0:b1], strict=True)
                other_roles += [pair for pair in same if pair_weights(*pair) is None]
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
        "of other roles": [
            f"{leaf.name} ({', '.join(str(weight.role or weight.name) for weight in leaf.weights)})"
            f" for {target.name} ({', '.join(target.roles)})"
            for leaf, target in other_roles
        ],
    }
    listed = "; ".join(f"{title}: {', '.join(names)}" for title, names in parts.items() if names)
    if not listed:
        listed = f"the layers are the same, but in an order that cannot be reconciled: {SUGGESTION}"
    elif parts["left over"] and not (missing or misshapen or other_roles):
        listed += "; if they are not wanted, name them in ignore= (--ignore of import-keras)"
    return f"{source} does not fit {module}: {listed}"
