"""Which layer of a Keras model belongs to which layer of a module: what `from_keras` goes by."""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import linen

from jaxnets.errors import UserError
from jaxnets.keras_weights.compare import Comparison, Verdict
from jaxnets.keras_weights.composites import arrange
from jaxnets.keras_weights.directions import settle_directions
from jaxnets.keras_weights.inputs import shapes_for
from jaxnets.keras_weights.layers import Target, kind, pair_weights, targets_of
from jaxnets.keras_weights.matching import Match, by_name, find_match, match, unpaired
from jaxnets.keras_weights.mismatch import describe, refuse_differences, refuse_guesses
from jaxnets.keras_weights.readers import read_file, read_model
from jaxnets.keras_weights.replay import is_channels_first
from jaxnets.keras_weights.tree import Leaf, Node, closest, drop, flatten, without
from jaxnets.summary import summarize
from jaxnets.summary.inputs import Shapes

Pairs = list[tuple[Leaf, Target]]


@dataclasses.dataclass(frozen=True)
class Pairing:
    """The layers of a Keras model and of a module that belong together, and those without a partner.

    `print` shows it as a table. See `pair_layers`.
    """

    pairs: Pairs
    by: list[str]
    """Why each pair was chosen: "rename", "name", "structure", or "order", a guess (with `unchecked`)."""
    left_out: list[str]
    """Layers of the Keras model that are not taken: those to ignore, and with `partial` those that the module
    does not have."""
    initial: list[Target]
    """Layers of the module that the Keras model does not have; only with `partial`."""
    source: str
    module: str

    @property
    def names(self) -> dict[str, str]:
        """The module's layers by the names of the Keras model's; "" is the module itself."""
        return {leaf.name: target.name for leaf, target in self.pairs}

    def __str__(self) -> str:
        cells = [
            (leaf.name, f"{target.name or '(the module itself)'} ({target.type})", shapes_of(target), by)
            for (leaf, target), by in zip(self.pairs, self.by, strict=True)
        ]
        cells = [("in Keras", f"in {self.module}", "shapes", "by"), *cells]
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        if self.left_out:
            lines.append(f"not taken from {self.source}: {', '.join(self.left_out)}")
        if self.initial:
            lines.append(f"not in {self.source}: {', '.join(target.name for target in self.initial)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{len(self.pairs)} layers of {self.source} for {self.module}; print shows them>"

    def left_at_initial_values(self) -> str:
        """Returns in one sentence what was loaded, what kept its initial values, and what was not taken."""
        kept = ", ".join(f"{target.name or self.module} {shapes_of(target)}" for target in self.initial)
        count = len(self.pairs) + len(self.initial)
        return (
            f"{len(self.pairs)} of {count} layers of {self.module} are loaded from {self.source} "
            f"({', '.join(target.name or self.module for _, target in self.pairs)}); at their initial "
            f"values: {kept or 'none'}; not taken from it: {', '.join(self.left_out) or 'none'}"
        )


def shapes_of(target: Target) -> str:
    """Returns the shapes of a layer's arrays in words."""
    return " ".join(str(shape) for shape in target.shapes)


def pair_layers(
    model_or_path: Any,
    module: linen.Module,
    input_shape: Shapes | None = None,
    dtype: Any = jnp.float32,
    *,
    ignore: Collection[str] = (),
    rename: Mapping[str, str] | None = None,
    partial: bool = False,
    unchecked: bool = False,
) -> Pairing:
    """Returns which layers belong together, as `from_keras` with these arguments pairs them.

    Raises:
        UserError: As `from_keras`.

    Examples:
        >>> import keras
        >>> from jaxnets.models import MODELS
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="answer")])
        >>> print(pair_layers(model, MODELS["perceptron"]()))
        in Keras  in MLP        shapes       by
        answer    head (Dense)  (4, 3) (3,)  structure
    """
    root, source = _read(model_or_path)
    shape, from_source = shapes_for(module, root, source, dtype, input_shape)
    everything = flatten(root)
    leaves, name = without(everything, ignore, source), type(module).__name__

    def compared(shape: Shapes) -> Pairing:
        targets = targets_of(summarize(module, shape, dtype))
        comparison = Comparison(root, leaves, module, targets, shape, dtype, has_all=not partial)
        known = _renamed(rename or {}, leaves, targets, source, name)
        matching = _match_part if partial else match
        found = matching(leaves, targets, source, name, comparison.verdict, known)
        pairs, guessed = found.pairs, found.guessed
        if guessed:
            pairs, settled = settle_directions(pairs, comparison.observation)
            guessed = [leaf for leaf in guessed if leaf.path not in settled]
        momenta = comparison.momenta(pairs)
        if momenta:  # no reason to refuse: outputs are the same
            warnings.warn(f"training goes on otherwise than in Keras: {'; '.join(momenta)}", stacklevel=4)
        if not unchecked:
            refuse_differences(comparison.verdict(pairs, in_words=True).differences, source, name)
            refuse_guesses(guessed, pairs, source)
        given, guesses = {leaf.path for leaf, _ in known}, {leaf.path for leaf in guessed}

        def reason(leaf: Leaf, target: Target) -> str:
            same = leaf.path == target.path or leaf.path[-1:] == target.path[-1:]
            tags = {"rename": leaf.path in given, "order": leaf.path in guesses, "name": same}
            return next((tag for tag, applies in tags.items() if applies), "structure")

        taken, theirs = {leaf.path for leaf, _ in pairs}, {target.path for _, target in pairs}
        return Pairing(
            pairs,
            [reason(*pair) for pair in pairs],
            [leaf.name for leaf in everything if leaf.path not in taken],
            [target for target in targets if target.path not in theirs],
            source,
            name,
        )

    first = any(is_channels_first(leaf.config or {}, len(shape) + 1) for leaf in leaves)
    if from_source and isinstance(shape, tuple) and len(shape) > 1 and first and isinstance(shape[0], int):
        try:  # the module may move the channels itself, or take images as Linen does
            return compared(shape)
        except UserError:
            shape = (*shape[1:], shape[0])
    return compared(shape)


def _read(model_or_path: Any) -> tuple[Node, str]:
    if isinstance(model_or_path, (str, Path)):
        return arrange(read_file(model_or_path)), repr(str(model_or_path))
    if not hasattr(model_or_path, "weights"):
        raise UserError(f"{model_or_path!r} is neither a Keras model nor the path of a file")
    return arrange(read_model(model_or_path)), f"the Keras model {model_or_path.name!r}"


def _renamed(
    rename: Mapping[str, str], leaves: list[Leaf], targets: list[Target], source: str, module: str
) -> Pairs:
    """Returns the pairs that the user names, each layer by its path or, if unique, its last name."""
    pairs = []
    for theirs, ours in rename.items():
        leaf = _named(theirs, leaves)
        target = _named(ours, targets)
        if leaf is None:
            known = closest(theirs, [leaf.name for leaf in leaves])
            raise UserError(f"rename: {source} has no layer {theirs!r} with weights{known}")
        if target is None:
            known = closest(ours, [target.name for target in targets])
            raise UserError(f"rename: {module} has no layer {ours!r} with variables{known}")
        pairs.append((leaf, target))
    for side in zip(*pairs, strict=True):
        twice = [layer.name for layer, count in Counter(side).items() if count > 1]
        if twice:
            raise UserError(f"rename: {twice[0]!r} is named twice: a layer has one partner")
    for leaf, target in pairs:
        if pair_weights(leaf, target) is None:
            raise UserError(
                f"rename: {leaf.name} {' '.join(map(str, leaf.shapes))} of {source} does not fit "
                f"{target.name or module} {shapes_of(target)}"
            )
    return pairs


def _named(name: str, layers: list[Any]) -> Any:
    found = [one for one in layers if one.name == name] or [one for one in layers if one.path[-1:] == (name,)]
    return found[0] if len(found) == 1 else None


def _match_part(
    leaves: list[Leaf],
    targets: list[Target],
    source: str,
    module: str,
    judge: Callable[[Pairs], Verdict],
    known: Pairs,
) -> Match:
    """Pairs what the two sides have in common, which may leave layers of both over.

    Layers of one name belong together unless their shapes differ, as those of a head for other classes do. Of
    the others the longest beginnings of both that fit do: a network differs from its backbone at its end.
    """
    named = by_name(leaves, targets, known)
    misfits = [pair for pair in named if pair_weights(*pair) is None]
    known = [pair for pair in named if pair_weights(*pair) is not None]
    rest, open_targets = unpaired(leaves, targets, named)
    signs = [_signs(rest), _signs(open_targets)]
    for count in range(min(map(len, signs)), -1, -1):
        if Counter(signs[0][:count]) != Counter(signs[1][:count]) or count + len(known) == 0:
            continue
        kept = drop(leaves, [*rest[count:], *(leaf for leaf, _ in misfits)])
        left = _without(targets, [*open_targets[count:], *(target for _, target in misfits)])
        leaf_at, target_at = {leaf.path: leaf for leaf in kept}, {target.path: target for target in left}
        still_known = [(leaf_at[leaf.path], target_at[target.path]) for leaf, target in known]
        found = find_match(kept, left, source, judge, still_known)
        if found is not None:
            return found
    raise UserError(describe(named, rest, open_targets, source, module))


def _without(targets: list[Target], dropped: list[Target]) -> list[Target]:
    """Returns the module's layers without these; what fed one that is dropped feeds what it fed."""
    out, feeding, result = {target.name for target in dropped}, dict[str, frozenset[str]](), []
    for target in targets:  # in call order, so that what feeds a layer has been seen
        fed_by = frozenset[str]().union(*(feeding.get(name, {name}) for name in target.fed_by))
        if target.name in out:
            feeding[target.name] = fed_by
        else:
            result.append(dataclasses.replace(target, fed_by=fed_by))
    return result


def _signs(layers: list[Any]) -> list[str]:
    """Returns what layers that fit have in common; of a vector only one: BatchNorm may have two to four."""
    return [str(layer.shapes if kind(layer.shapes) else layer.shapes[:1]) for layer in layers]
