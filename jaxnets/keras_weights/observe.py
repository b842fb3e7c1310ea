"""What a module computes between its layers, seen by running it with made-up outputs of the layers.

The layers themselves are not run: each returns random numbers of the right shape, and what it was given is
kept. So all that the module does besides its layers, activations, pooling, sums, shows in numbers, however
it is written.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.errors import FlaxError

from jaxnets.errors import UserError
from jaxnets.keras_weights.layers import Target
from jaxnets.keras_weights.weightless import ALL_ACTIVATIONS, LARGEST, ODD
from jaxnets.summary.inputs import Shapes, arguments
from jaxnets.summary.jaxpr import programs_in


@dataclasses.dataclass
class Seen:
    """A layer of the module as it was called."""

    module: linen.Module
    input: jax.Array | None
    """What its first call was given, in the order in which it goes through it; None if it is not known
    (inside scan or remat)."""
    output: jax.Array
    """What its first call returned, before its own activation and without its state: random numbers."""
    convolution: Mapping[str, Any] | None
    """The parameters of its first convolution (strides, padding, dilations, layout)."""
    masked: bool = False
    """Whether its first call was given a mask."""
    calls: int = 1


@dataclasses.dataclass
class Observation:
    """A run of the module: its inputs, its layers by name, and its outputs."""

    arguments: tuple[Any, ...]
    """What it was called with: arrays, or one list or dict of arrays."""
    layers: dict[str, Seen]
    outputs: list[jax.Array]

    @property
    def inputs(self) -> list[jax.Array]:
        return jax.tree.leaves(self.arguments)


def observe(module: linen.Module, targets: Sequence[Target], shape: Shapes, dtype: Any) -> Observation | None:
    """Runs the module on one example; returns None if it cannot be run so, or is too large."""
    names = {target.name for target in targets}
    within = {
        target.name for target in targets if any(inner.startswith(target.name + "/") for inner in names)
    }
    watch = _Watch({target.name: target for target in targets if target.name not in within | _top(names)})
    # Layers that are watched need no numbers; those of the user's own get ones, which take no memory.
    variables: dict[str, Any] = {}
    for target in targets:
        for path, array in target.variables.items():
            inner = variables
            for part in path[:-1]:
                inner = inner.setdefault(part, {})
            inner[path[-1]] = np.broadcast_to(np.ones((), array.dtype), array.shape)
    try:
        # Several examples if each is a vector: then it shows whether its numbers are merely scaled.
        vectors = all(len(array.shape) == 2 for array in jax.tree.leaves(arguments(shape, dtype)))
        given = jax.tree.map(
            lambda array: jnp.asarray(watch.draw(array.shape), array.dtype),
            arguments(shape, dtype, batch=8 if vectors else 1),
        )
        with linen.intercept_methods(watch.call):
            outputs = jax.tree.leaves(module.apply(variables, *given))
    except (*ODD, FlaxError, UserError, RuntimeError, MemoryError):
        return None
    return Observation(given, watch.seen, [_known(output) for output in outputs])


def _top(names: set[str]) -> set[str]:
    """Returns the name of the module itself if it owns variables beside layers that do."""
    return {""} if len(names) > 1 else set()


def _known(value: Any) -> Any:
    """Returns an array that has numbers; None for one that is only traced."""
    return None if isinstance(value, jax.core.Tracer) or not hasattr(value, "shape") else value


def is_known(module: linen.Module) -> bool:
    """Whether a layer is ours or Flax's: linear, or normalizing, without an activation of its own."""
    return type(module).__module__.startswith(("jaxnets.nn", "flax.linen"))


def _channels_last(module: linen.Module, x: Any) -> Any:
    """Returns what a normalization over axis 1 is given or returns as the other layers have it."""
    return jnp.moveaxis(x, 1, -1) if getattr(module, "axis", None) == 1 and jnp.ndim(x) > 2 else x


def is_recurrent(module: linen.Module) -> bool:
    """Whether a layer is one of ours over time, whose activations are part of a step."""
    return hasattr(module, "return_sequences")


class _Watch:
    """Takes the place of the layers."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self.targets = targets
        self.seen: dict[str, Seen] = {}
        self._rng = np.random.default_rng(0)
        self._size = 0
        self._inside = False

    def draw(self, shape: Sequence[int]) -> np.ndarray:
        """Returns numbers of which most activations make something else than others do."""
        self._size += math.prod(shape)
        if self._size > LARGEST:
            raise NotImplementedError
        return 3 * self._rng.standard_normal(shape, np.float32)

    def call(self, next_method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module, name = context.module, "/".join(context.module.path)
        ours = name in self.targets and context.method_name == "__call__" and is_known(module)
        if self._inside or not ours or not args:
            return next_method(*args, **kwargs)
        program, output = self._trace(module, self.targets[name], args, kwargs)
        drawn = jax.tree.map(lambda one: jnp.asarray(self.draw(one.shape), one.dtype), output)
        if name in self.seen:  # another call of the same layer gives other numbers
            self.seen[name].calls += 1
        else:
            given = _known(args[0])
            if given is not None and getattr(module, "go_backwards", False):
                given = jnp.flip(given, 1)
            convolution = _convolution(program.jaxpr, jnp.shape(args[0]))
            masked = kwargs.get("mask") is not None
            given, made = (_channels_last(module, one) for one in (given, jax.tree.leaves(drawn)[0]))
            self.seen[name] = Seen(module, given, made, convolution, masked)
        activation = None if is_recurrent(module) else getattr(module, "activation", None)
        activation = ALL_ACTIVATIONS[activation] if isinstance(activation, str) else activation
        return drawn if activation is None else activation(drawn)

    def _trace(self, module: linen.Module, target: Target, args: Any, kwargs: Any) -> Any:
        """Returns the layer's program and the shape of its output."""
        layer = module.clone(parent=None)
        variables: dict[str, dict[str, Any]] = {}
        for (collection, *_, name), array in target.variables.items():
            variables.setdefault(collection, {})[name] = array

        def run(variables: Any, x: Any) -> Any:
            return layer.apply(variables, x, *args[1:], **kwargs)

        x = jax.ShapeDtypeStruct(jnp.shape(args[0]), args[0].dtype)
        self._inside = True
        try:
            return jax.make_jaxpr(run, return_shape=True)(variables, x)
        finally:
            self._inside = False


def _convolution(program: Any, shape: tuple[int, ...]) -> Mapping[str, Any] | None:
    """Returns the parameters of the first convolution, with "whole" if it reads the layer's very input."""
    for equation in program.eqns:
        if equation.primitive.name == "conv_general_dilated":
            return {**equation.params, "whole": tuple(equation.invars[0].aval.shape) == shape}
        for inner in programs_in(equation):
            if found := _convolution(getattr(inner, "jaxpr", inner), shape):
                return found
    return None
