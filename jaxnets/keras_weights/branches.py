"""Pairing the nodes of two graphs by colour refinement, and choosing between equal branches."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from jaxnets.keras_weights.layers import Target, kind, pair_weights, part
from jaxnets.keras_weights.tree import Leaf, Path

Pairs = list[tuple[Leaf, Target]]
Colours = tuple[list[int], list[int]]
Feeds = Sequence[frozenset[int]]
Choices = list[tuple[int, int]]  # target and leaf, by place

MOST_TRIALS = 200
MOST_WORK = 2_000_000  # trials times the square of the number of layers


class Verdict(Protocol):
    """How well a way to pair agrees with the configuration; see `compare.Verdict`."""

    score: float
    settled: frozenset[Path]


class Graph:
    """The layers of both sides, what feeds what, and which pairs are known.

    Args:
        leaves: The Keras layers, each with what feeds it.
        targets: The module's layers, in call order.
        named: Pairs that are known.
        order: The Keras layers in the order in which equal ones are taken.
    """

    def __init__(
        self, leaves: Sequence[Leaf], targets: Sequence[Target], named: Pairs, order: Sequence[Leaf]
    ):
        self.leaves, self.targets = leaves, targets
        place, index = (
            {t.name: i for i, t in enumerate(targets)},
            {id(leaf): i for i, leaf in enumerate(leaves)},
        )
        ours = [frozenset(place[name] for name in target.fed_by if name in place) for target in targets]
        self.feeds: tuple[Feeds, Feeds] = (ours, [leaf.fed_by or frozenset() for leaf in leaves])
        self.uses = tuple(_reverse(feeds) for feeds in self.feeds)
        self.order = [index[id(leaf)] for leaf in order]
        self.known = [(place[target.name], index[id(leaf)]) for leaf, target in named]

    def colours(self, choices: Choices) -> Colours | None:
        """Returns numbers that are equal where shapes and graph are, on either side; None if sides differ."""
        start: list[list[object]] = [
            # One vector stands for all: BatchNorm may have two to four.
            [tuple(layer.shapes if kind(layer.shapes) else layer.shapes[:1]) for layer in layers]
            for layers in (self.targets, self.leaves)
        ]
        parts = [[part(layer.path) for layer in layers] for layers in (self.targets, self.leaves)]
        if Counter(parts[0]) == Counter(parts[1]):  # the same attentions on both sides
            start = [list(zip(*both, strict=True)) for both in zip(start, parts, strict=True)]
        for number, pair in enumerate([*self.known, *choices]):
            for side, place in zip(start, pair, strict=True):
                side[place] = number
        keys, count = start, 0
        while True:
            table: dict[object, int] = {}
            ours, theirs = ([table.setdefault(key, len(table)) for key in side] for side in keys)
            if Counter(ours) != Counter(theirs):
                return None
            if len(table) == count:
                return ours, theirs
            count = len(table)
            keys = [
                [
                    (colour, *sorted(colours[j] for j in before), None, *sorted(colours[j] for j in behind))
                    for colour, before, behind in zip(colours, feeds, uses, strict=True)
                ]
                for colours, feeds, uses in zip((ours, theirs), self.feeds, self.uses, strict=True)
            ]

    def open(self, colours: Colours) -> Iterator[tuple[list[int], list[int]]]:
        """Yields the places of equal targets, and of the leaves that are equal to them, in order."""
        classes: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for place, colour in enumerate(colours[0]):
            classes[colour][0].append(place)
        for place in self.order:
            classes[colours[1][place]][1].append(place)
        yield from (equal for equal in classes.values() if len(equal[0]) > 1)

    def complete(self, choices: Choices) -> Pairs | None:
        """Returns pairs of all layers with these choices, equal ones in order; None if there are none."""
        chosen = list(choices)
        while True:
            colours = self.colours(chosen)
            if colours is None:
                return None
            equal = next(self.open(colours), None)
            if equal is None:
                break
            if self._alike(equal):
                chosen += zip(*equal, strict=True)
                continue
            target, candidates = equal[0][0], equal[1]
            fitting = (leaf for leaf in candidates if self.colours([*chosen, (target, leaf)]) is not None)
            chosen.append((target, next(fitting, candidates[0])))
        partner = {colour: place for place, colour in enumerate(colours[1])}
        places = [partner[colour] for colour in colours[0]]
        for target, leaf in enumerate(places):
            if self.feeds[1][leaf] != {places[j] for j in self.feeds[0][target]}:
                return None
            if pair_weights(self.leaves[leaf], self.targets[target]) is None:
                return None
        return [(self.leaves[leaf], target) for leaf, target in zip(places, self.targets, strict=True)]

    def _alike(self, equal: tuple[list[int], list[int]]) -> bool:
        """Whether equal layers are fed by the same layers and feed the same: any order of them will do."""
        return all(
            len({(feeds[i], uses[i]) for i in places}) == 1
            for places, feeds, uses in zip(equal, self.feeds, self.uses, strict=True)
        )


def _reverse(feeds: Feeds) -> list[frozenset[int]]:
    behind: list[set[int]] = [set() for _ in feeds]
    for place, feeding in enumerate(feeds):
        for j in feeding:
            behind[j].add(place)
    return [frozenset(places) for places in behind]


def pair_by_graph(graph: Graph, judge: Callable[[Pairs], Verdict]) -> tuple[Pairs, list[Leaf]] | None:
    """Returns pairs, and the leaves that have equals from which the configuration does not tell them apart.

    Of the ways to pair that the graph leaves open, the one that agrees best with the configuration is taken:
    choice by choice, so that many equal branches do not take forever.
    """
    best = graph.complete([])
    colours = graph.colours([])
    if best is None or colours is None:
        return None
    equal = [graph.leaves[place] for _, places in graph.open(colours) for place in places]
    if not equal:
        return best, []
    verdict = judge(best)
    trials = min(MOST_TRIALS, MOST_WORK // len(graph.leaves) ** 2)
    choices: Choices = []
    while verdict.score > 0 and trials > 0 and colours is not None:
        (target, *_), candidates = next(graph.open(colours), ([0], []))
        ways = []
        for leaf in candidates:
            way = graph.complete([*choices, (target, leaf)])
            if way is not None:
                ways.append((way, judge(way), leaf))
                trials -= 1
            if trials == 0 or (ways and ways[-1][1].score == 0):
                break
        if not ways:
            break
        best, verdict, leaf = min([(best, verdict, ways[0][2]), *ways], key=lambda way: way[1].score)
        choices.append((target, leaf))
        colours = graph.colours(choices)
    unsettled = [leaf for leaf in equal if leaf.path not in verdict.settled]
    return best, [leaf for leaf in unsettled if not _only_this(graph, leaf, best, judge, verdict, trials)]


def _only_this(
    graph: Graph, leaf: Leaf, best: Pairs, judge: Callable[[Pairs], Verdict], verdict: Verdict, trials: int
) -> bool:
    """Whether every other place for a layer agrees worse with the configuration."""
    colours, place = graph.colours([]), [id(other) for other in graph.leaves].index(id(leaf))
    assert colours is not None, "it has been paired"
    others = [
        i for i, colour in enumerate(colours[0]) if colour == colours[1][place] and best[i][0] is not leaf
    ]
    if len(others) * len(others) > trials:
        return False
    ways = [graph.complete([(target, place)]) for target in others]
    return all(way is None or judge(way).score > verdict.score for way in ways)
