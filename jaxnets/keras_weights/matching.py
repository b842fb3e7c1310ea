"""Pairing Keras layers with the layers of a module: by name where names agree, else by structure.

Structure means the sequence of layers of one kind (convolution, dense, recurrent, normalization), their
shapes, and the graph if it is known. Equal branches are told apart by what the configuration says of them. A
match that would need a guess is refused.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable

from jaxnets.errors import UserError
from jaxnets.keras_weights.branches import Graph, Pairs, Verdict, pair_by_graph
from jaxnets.keras_weights.layers import Target, by_kind, pair_weights, part
from jaxnets.keras_weights.mismatch import SUGGESTION, describe
from jaxnets.keras_weights.tree import Leaf, Path


@dataclasses.dataclass
class Match:
    """Pairs of layers, and the Keras layers that nothing but an order tells from others."""

    pairs: Pairs
    guessed: list[Leaf]


def match(
    leaves: list[Leaf],
    targets: list[Target],
    source: str,
    module: str,
    judge: Callable[[Pairs], Verdict],
    known: Pairs,
) -> Match:
    """Pairs every Keras layer with a layer of the module.

    Args:
        leaves: The Keras layers with weights.
        targets: The module's.
        source: Name of the source, for messages.
        module: Name of the module, for messages.
        judge: Says how well a way to pair agrees with the configuration.
        known: Pairs that the user named.

    Raises:
        UserError: If they do not fit; the message names every layer that is missing, left over or of another
            shape.
    """
    found = find_match(leaves, targets, source, judge, known)
    if found is None:
        named = by_name(leaves, targets, known)
        rest, open_targets = unpaired(leaves, targets, named)
        raise UserError(describe(named, _creation_order(rest), open_targets, source, module))
    return found


def find_match(
    leaves: list[Leaf], targets: list[Target], source: str, judge: Callable[[Pairs], Verdict], known: Pairs
) -> Match | None:
    """Returns what `match` does; None if the layers do not fit."""
    named = by_name(leaves, targets, known)
    rest, open_targets = unpaired(leaves, targets, named)
    if all(pair_weights(*pair) is not None for pair in named):
        if not rest and not open_targets:
            return Match(named, [])
        if all(leaf.fed_by is not None for leaf in leaves):
            return _by_graph(leaves, targets, named, judge)
        found = _without_graph(rest, open_targets, _feeders(targets), source)
        return found and Match(named + found.pairs, found.guessed)
    return None


def _feeders(targets: list[Target]) -> dict[str, set[str]]:
    """Returns, for every layer, the names of all layers that feed it, directly or through others."""
    found: dict[str, set[str]] = {}
    for target in targets:  # in call order, so that what feeds a layer has been seen
        found[target.name] = set(target.fed_by).union(*(found.get(name, ()) for name in target.fed_by))
    return found


def unpaired(leaves: list[Leaf], targets: list[Target], pairs: Pairs) -> tuple[list[Leaf], list[Target]]:
    """Returns the layers on both sides that are in none of the pairs."""
    paired = {id(layer) for pair in pairs for layer in pair}
    return [one for one in leaves if id(one) not in paired], [one for one in targets if id(one) not in paired]


def by_name(leaves: list[Leaf], targets: list[Target], known: Pairs) -> Pairs:
    """Adds pairs of the same name on both sides to those known; automatic names count only if all agree."""
    leaves, targets = unpaired(leaves, targets, known)
    variants: list[Callable[[Path], str]] = ["/".join, "_".join, lambda path: path[-1] if path else ""]
    best: Pairs = []
    for variant in variants:
        keras = Counter(variant(leaf.path) for leaf in leaves)
        ours = Counter(variant(target.path) for target in targets)
        common = {name for name in keras if keras[name] == ours[name] == 1}
        all_agree = len(common) in (len(leaves), len(targets))
        theirs = {variant(leaf.path): leaf for leaf in leaves if all_agree or leaf.automatic is None}
        pairs = [
            (theirs[name], target)
            for target in targets
            if (name := variant(target.path)) in common and name in theirs
        ]
        best = max(best, pairs, key=len)
    return [*known, *best]


def _creation_order(leaves: list[Leaf]) -> list[Leaf]:
    """Returns the layers with those that Keras has numbered rearranged so that each class's numbers rise.

    Functional models list their layers by depth, which mixes parallel branches; the numbers give the order
    in which the model's code created them.
    """
    result = list(leaves)
    places: dict[str, list[int]] = defaultdict(list)
    for i, leaf in enumerate(leaves):
        if leaf.automatic:
            places[leaf.automatic[0]].append(i)
    for indices in places.values():
        layers = sorted((leaves[i] for i in indices), key=lambda leaf: leaf.automatic or ("", 0))
        for i, leaf in zip(indices, layers, strict=True):
            result[i] = leaf
    return result


def _in_order(leaves: list[Leaf], targets: list[Target]) -> Pairs | None:
    """Pairs the first convolution with the first, and so on, kind by kind; None if a shape does not fit."""
    pairs: Pairs = []
    # Files may list their layers class by class, so that neither of two classes comes first.
    by_class = all(leaf.class_name for leaf in leaves) and all(target.class_name for target in targets)
    ours, theirs = by_kind(targets, by_class), by_kind(leaves, by_class)
    for k in {**ours, **theirs}:
        if len(ours.get(k, [])) != len(theirs.get(k, [])):
            return None
        pairs += zip(theirs[k], ours[k], strict=True)
    return pairs if all(pair_weights(*pair) is not None for pair in pairs) else None


def _without_graph(
    leaves: list[Leaf], targets: list[Target], feeders: dict[str, set[str]], source: str
) -> Match | None:
    """Pairs layers by the order in which they were created, or else by that of the source.

    An order is possible if no layer is created, or listed, before one that feeds it. If both orders are, the
    layers were created branch by branch, as the module calls them, and listed by depth, as in functional
    models. Equal layers of which neither feeds the other are in no order that the module would have to have.

    Args:
        leaves: The Keras layers without a partner.
        targets: The module's layers without a partner.
        feeders: For every layer of the module, the names of all that feed it, directly or through others.
        source: Name of the source, for the message.
    """
    place = {id(leaf): i for i, leaf in enumerate(leaves)}
    ordered = not any(leaf.alphabetical for leaf in leaves)

    def listed_before(a: Leaf, b: Leaf) -> bool:
        return ordered and (a.group is None or a.listing == b.listing) and place[id(a)] < place[id(b)]

    def made_before(a: Leaf, b: Leaf) -> bool:
        one, other = a.automatic or ("", 0), b.automatic or ("", 0)
        return one[0] == other[0] and one[1] < other[1]

    pairs, doubtful = None, None
    for order, before in ((_creation_order(leaves), listed_before), (leaves, made_before)):
        candidate = _in_order(order, targets) if order is not leaves or ordered else None
        contradiction = _contradiction(candidate, feeders, before) if candidate else None
        doubtful = doubtful or contradiction
        if candidate is not None and contradiction is None:
            pairs, doubtful = candidate, None
            break
    first: dict[str, Leaf] = {}
    for leaf in leaves if pairs else ():
        # In a file without an order, only the numbers in the paths tell layers of equal shapes apart.
        other = first.setdefault(str(leaf.shapes), leaf)
        if leaf.origin != other.origin:
            doubtful = other, leaf
    if doubtful:
        a, b = (leaf.group or leaf.name for leaf in doubtful)
        raise UserError(f"{source} does not say which comes first, {a} or {b}: {SUGGESTION}")
    return Match(pairs, _parallel(pairs, feeders)) if pairs is not None else None


def _parallel(pairs: Pairs, feeders: dict[str, set[str]]) -> list[Leaf]:
    """Returns the layers that have an equal of which neither feeds the other."""
    equal: dict[str, Pairs] = defaultdict(list)
    for leaf, target in pairs:
        label = part(target.path) if part(leaf.path) == part(target.path) else None
        equal[f"{label} {target.shapes}"].append((leaf, target))
    return [
        leaf
        for group in equal.values()
        for leaf, target in group
        if any(
            other is not target
            and other.name not in feeders[target.name]
            and target.name not in feeders[other.name]
            for _, other in group
        )
    ]


def _contradiction(
    pairs: Pairs, feeders: dict[str, set[str]], before: Callable[[Leaf, Leaf], bool]
) -> tuple[Leaf, Leaf] | None:
    """Returns a layer that comes `before` one that feeds it, and that one; None if there is none."""
    leaf_of = {target.name: leaf for leaf, target in pairs}
    for name, leaf in leaf_of.items():
        for feeder in feeders[name] & leaf_of.keys():
            if before(leaf, leaf_of[feeder]):
                return leaf, leaf_of[feeder]
    return None


def _by_graph(
    leaves: list[Leaf], targets: list[Target], named: Pairs, judge: Callable[[Pairs], Verdict]
) -> Match | None:
    """Pairs layers so that shapes agree and partners are fed by partners.

    Branches that the graph and shapes do not distinguish are taken as agrees best with the configuration, and
    else in the order of their creation.
    """
    found = pair_by_graph(Graph(leaves, targets, named, _creation_order(leaves)), judge)
    return found and Match(*found)
