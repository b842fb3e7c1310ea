"""Comparing what a Keras model's configuration says with what a module computes, given how layers are paired.

Two things are compared. The settings of each layer: strides, dilation, epsilon, gates. And what happens
between layers: the module is run with random numbers in place of its layers' outputs (`observe`), the
configuration is followed with the same numbers (`Replay`), and every layer must be given the same on both
sides. What is not known on one of the sides, such as a layer of the user's own, is not compared.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen

from jaxnets.keras_weights.composites import direction
from jaxnets.keras_weights.equality import channels_last, comparable, is_scaled, wrong_part
from jaxnets.keras_weights.explain import alternatives, in_between
from jaxnets.keras_weights.inputs import in_order, keras_inputs
from jaxnets.keras_weights.layers import Target
from jaxnets.keras_weights.mismatch import MOST
from jaxnets.keras_weights.observe import Seen, observe
from jaxnets.keras_weights.replay import RECURRENT, Config, Replay, Value
from jaxnets.keras_weights.settings import Difference, differences, momentum
from jaxnets.keras_weights.tree import Leaf, Node, Path
from jaxnets.keras_weights.weightless import is_keras

Pairs = Sequence[tuple[Leaf, Target]]


@dataclasses.dataclass
class Verdict:
    """What comparing one way to pair the layers found."""

    differences: list[str]
    """What differs, in words."""
    score: float
    """How much of what was compared differs: 0 for nothing."""
    settled: frozenset[Path]
    """Layers of which all that is known of their place in the network agrees, and all of it is known."""


class Comparison:
    """Compares a module with a Keras model, outputs too if each has all layers of the other (`has_all`)."""

    def __init__(
        self,
        root: Node,
        leaves: Sequence[Leaf],
        module: linen.Module,
        targets: Sequence[Target],
        shape: Any,
        dtype: Any,
        has_all: bool = True,
    ) -> None:
        self.root, self.leaves, self.module = root, leaves, type(module).__name__
        known = any(leaf.config or direction(leaf.path) for leaf in leaves)
        self.observation = observe(module, targets, shape, dtype) if known else None
        self.has_all, wanted = has_all, root.input_shape or ()
        names = keras_inputs(root)
        self.inputs = in_order(self.observation.arguments, names) if self.observation else []
        if (
            len(self.inputs) == 1
            and self.inputs[0] is not None
            and len(wanted) > 2
            and tuple(wanted) == (shape[-1], *shape[:-1]) != tuple(shape)
        ):  # Keras's images are channels-first, the module's are not
            self.inputs = [jnp.moveaxis(self.inputs[0], -1, 1)]

    def verdict(self, pairs: Pairs, in_words: bool = False) -> Verdict:
        """Compares all that is known of both, if layers are paired so; says what differs in words if asked.

        Otherwise, to choose between ways to pair, the user's own layers are taken to be the module's.
        """
        seen = self.observation
        if seen is None:
            return Verdict([], 0.0, frozenset())
        known = {
            leaf.path: (leaf, target, seen.layers[target.name])
            for leaf, target in pairs
            if target.name in seen.layers
        }
        return _Judgement(self, known, in_words).verdict()

    def momenta(self, pairs: Pairs) -> list[str]:
        """Returns the normalizations whose momentum differs, which matters only in training."""
        layers = self.observation.layers if self.observation else {}
        found = [
            (leaf, target, momentum(leaf.config or {}, layers[target.name]))
            for leaf, target in pairs
            if target.name in layers
        ]
        return [_in_words(leaf, target, one) for leaf, target, one in found if one]


def _in_words(leaf: Leaf, target: Target, difference: Difference) -> str:
    setting, theirs, ours = difference
    return f"{leaf.name}: {setting} {theirs} in Keras, {ours} in {target.name or target.type}"


class _Judgement:
    """One comparison, of one way to pair."""

    def __init__(
        self, comparison: Comparison, known: dict[Path, tuple[Leaf, Target, Seen]], in_words: bool
    ) -> None:
        assert comparison.observation is not None
        self.all, self.known, self.in_words = comparison, known, in_words
        self.observation = comparison.observation
        self.version = comparison.root.version
        # A layer that is called again, or with its input arranged in another way, has no one output.
        given = {
            path: seen.output
            for path, (_, _, seen) in known.items()
            if seen.calls == 1 and seen.input is not None
        }
        self.replay = self._replay(given)
        for path in list(given):
            leaf, _, seen = known[path]
            value = self.replay.input(leaf)
            if value.array is None or seen.input is None:
                continue
            theirs, ours = channels_last(value.array, self.replay.config(leaf)).shape, seen.input.shape
            if theirs != ours and math.prod(theirs) == math.prod(ours):
                del given[path]
        self.given = given
        self.replay = self._replay(given)

    def _replay(self, given: Any, changes: Any = None) -> Replay:
        return Replay(self.all.root, self.all.leaves, self.all.inputs, given, changes, not self.in_words)

    def verdict(self) -> Verdict:
        words: list[str] = []
        score, settled, uses = 0.0, set[Path](), dict[Path, bool]()
        for leaf in self.all.leaves:
            value = self.replay.input(leaf)
            wrong = self._wrong(leaf, value, self.replay.config(leaf))
            for source in value.sources:  # whoever uses a layer's output must be known to use it rightly
                uses[source] = uses.get(source, True) and wrong == 0
            if wrong == 0:
                settled.add(leaf.path)
            if leaf.path not in self.known:
                continue
            _, target, seen = self.known[leaf.path]
            found = differences(leaf.config or {}, seen, self.version) if self._is_keras(leaf) else []
            found += self._mask(leaf, seen)
            score += len(found) + (wrong or 0.0)
            if found:
                settled.discard(leaf.path)
            if self.in_words:
                words += [_in_words(leaf, target, one) for one in found]
                if wrong and not found and len(words) <= MOST:  # it takes a while
                    words.append(self._explain(leaf, value))
        outputs = self.replay.outputs()
        wrong = self._wrong_outputs(outputs)
        for value, _ in outputs:
            for source in value.sources:
                uses[source] = uses.get(source, True) and wrong == 0
        if self.in_words and wrong:
            words.append(self._explain(None, outputs[0][0] if len(outputs) == 1 else Value()))
        right = frozenset(path for path in settled if uses.get(path, False))
        return Verdict(list(dict.fromkeys(words)), score + (wrong or 0.0), right)

    def _is_keras(self, leaf: Leaf) -> bool:
        return leaf.config is not None and is_keras(leaf.config)

    def _mask(self, leaf: Leaf, seen: Seen) -> list[Difference]:
        """A recurrent layer of ours goes through steps that Keras's leaves out, or the other way round."""
        sequences = getattr(seen.module, "return_sequences", None)
        config = (leaf.config or {}).get("config", {})
        if sequences is None or (leaf.config or {}).get("class_name") not in RECURRENT:
            return []
        masked = self.replay.masked(leaf)
        if bool(config.get("return_sequences")) != sequences or masked == seen.masked:
            return []
        return [Difference("mask_zero", masked, seen.masked)]

    def _wrong(self, leaf: Leaf, value: Value, config: Config) -> float | None:
        """Returns which part of a layer's input differs; None if that is not known."""
        if leaf.path not in self.given or value.array is None:
            return None
        seen = self.known[leaf.path][2]
        wrong = wrong_part(*comparable(value, config, seen))
        if wrong and not value.sources and is_scaled(channels_last(value.array, config), seen.input):
            return None  # inputs are often scaled outside of one of the two
        return wrong

    def _explain(self, leaf: Leaf | None, value: Value) -> str:
        """Returns in words what differs in what a layer is given, or in the output if that is None."""
        for path, setting, theirs, ours, layer in alternatives(self.replay, leaf, value):
            replay = self._replay(self.given, {path: layer})
            if leaf is None:
                wrong = self._wrong_outputs([(changed, None) for changed, _ in replay.outputs()])
            else:
                wrong = self._wrong(leaf, replay.input(leaf), replay.config(leaf))
            if wrong == 0:
                where = self.known[path][1].name if path in self.known else ""
                return f"{'/'.join(path)}: {setting} {theirs} in Keras, {ours} in {where or self.all.module}"
        theirs = in_between(self.replay, value)
        if leaf is None:
            return f"the output of {self.all.module}: {theirs} before it in Keras, something else"
        _, target, seen = self.known[leaf.path]
        config, where = self.replay.config(leaf), target.name or target.type
        same = wrong_part(channels_last(value.array, config), seen.input) == 0
        if same and seen.convolution is not None:
            theirs, ours = config["config"].get("padding"), tuple(seen.convolution["padding"])
            return f"{leaf.name}: padding {theirs} in Keras, {ours} in {where}"
        return f"{where}: {theirs} before it in Keras, something else in {self.all.module}"

    def _wrong_outputs(self, outputs: Sequence[tuple[Value, Value | None]]) -> float | None:
        """Returns whether outputs differ; a softmax or sigmoid at the end may be missing in the module."""
        ours = self.observation.outputs
        theirs = [[value.array for value in pair if value is not None] for pair in outputs]
        unknown = any(pair[0] is None for pair in theirs) or any(one is None for one in ours)
        if len(ours) != len(theirs) or unknown or not self.all.has_all:
            return None
        known = [array for pair in theirs for array in pair if array is not None]
        return sum(min(wrong_part(array, one) or 0.0 for array in known) for one in ours)
