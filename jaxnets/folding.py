"""Networks for inference, with batch normalizations folded into the layers before them.

With running statistics, a normalization is one product and one sum per channel. If it is all that is done
with the output of a convolution or dense layer, that layer's kernel can take the product and its bias the
sum.
"""

from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Literal

from jaxnets.errors import UserError
from jaxnets.nn import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    DepthwiseConv,
    SeparableConv,
    get_activation,
    linear,
)
from jaxnets.nn.bias import add_bias

Place = tuple[str, ...]
Variables = dict[str, Any]

KERNELS = {
    Conv: "kernel",
    ConvTranspose: "kernel",
    Dense: "kernel",
    DepthwiseConv: "kernel",
    SeparableConv: "pointwise_kernel",
}


class Folded(linen.Module):
    """A network in which some normalizations only add a bias, or nothing; `fold_batch_norm` makes it.

    Attributes:
        network: The network that it was made of.
        places: Paths of those normalizations.
    """

    network: linen.Module
    places: tuple[Place, ...]

    @linen.compact
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Applies the network to inputs.

        Raises:
            UserError: If it is asked for with ``train=True``.
        """
        if options.get("train"):
            raise UserError("a folded network is for inference: train the network that it was made of")

        def add(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            layer = context.module
            if context.method_name != "__call__" or layer.path not in self.places:
                return call(*args, **kwargs)
            dtype = layer.dtype or args[0].dtype
            bias = layer.variables.get("params", {}).get("bias")
            return add_bias(args[0].astype(dtype), None if bias is None else bias.astype(dtype))

        network = self.network.clone(parent=None, name=None)  # so that variables have the same paths
        with linen.intercept_methods(add):
            return network.apply(self.variables, *inputs, **options)


def fold_batch_norm(
    network: linen.Module, variables: Variables, input_shape: tuple[int, ...], dtype: Any = jnp.float32
) -> tuple[linen.Module, Variables]:
    """Returns a network that computes the same in inference, and its variables.

    A normalization is folded if its input is the output of a layer of `jaxnets.nn` (convolution, transposed,
    depthwise or separable convolution, or dense layer, without activation) that nothing else uses, and if
    both are called once. All others stay. Outputs differ by rounding, about 1e-6 of their size in float32.

    Args:
        network: The network, whose ``__call__`` takes inputs and does inference by default.
        variables: Its variables, arrays of JAX or NumPy; they are not changed.
        input_shape: Shape of one example.
        dtype: Type of the examples.

    Examples:
        >>> from jaxnets.models import MODELS
        >>> network, x = MODELS["baseline"](), jnp.ones((2, 32, 32, 3))
        >>> variables = network.init(jax.random.key(0), x)
        >>> folded, fewer = fold_batch_norm(network, variables, (32, 32, 3))
        >>> jnp.allclose(folded.apply(fewer, x), network.apply(variables, x), atol=1e-5).item()
        True
        >>> "batch_stats" in fewer
        False
    """
    if isinstance(network, Folded):
        return network, variables
    flat = flatten_dict(variables)
    pairs = _pairs(network, flat, jax.ShapeDtypeStruct((1, *input_shape), dtype))
    for layer, norm in pairs:
        _move(flat, layer, norm)
    return Folded(network, tuple(norm.place for _, norm in pairs)), unflatten_dict(flat)


class _Call(NamedTuple):
    """A layer that was called, and its place, which it knows only while the network is applied."""

    layer: Any
    place: Place


def _pairs(network: linen.Module, flat: dict[Place, Any], x: Any) -> list[tuple[_Call, _Call]]:
    """Returns the layers and normalizations that can become one.

    They are found in a trace of the network in which layers mark their outputs and normalizations mark their
    inputs and do nothing else, so that the normalizations' arrays are not used.
    """
    calls: dict[str, list[_Call]] = {}

    def mark(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        layer = context.module
        is_norm = type(layer) is BatchNorm
        if context.method_name != "__call__" or not (is_norm or type(layer) in KERNELS):
            return call(*args, **kwargs)
        y = args[0] if is_norm else call(*args, **kwargs)
        calls.setdefault(name := f"folding {'/'.join(layer.path)}", []).append(_Call(layer, layer.path))
        own = {
            (kind, *layer.path, *rest): array
            for (kind, *rest), array in flatten_dict(layer.variables).items()
        }
        suits = not is_norm or layer.axis in (-1, y.ndim - 1)
        suits &= all(path in flat and flat[path].shape == array.shape for path, array in own.items())
        return checkpoint_name(y if suits else y + 0, name)  # the sum is something else that is done with it

    with linen.intercept_methods(mark):
        program = jax.make_jaxpr(lambda flat, x: network.apply(unflatten_dict(flat), x))(flat, x).jaxpr
    values = [value for step in program.eqns for value in step.invars] + program.outvars
    uses = Counter[Any](value for value in values if not isinstance(value, Literal))
    arrays: dict[Place, list[int]] = {}
    for path, var in zip(sorted(flat), program.invars, strict=False):
        arrays.setdefault(path[1:-1], []).append(uses[var])

    made: dict[Any, _Call] = {}  # the layer that made a value
    pairs = []
    for step in program.eqns:
        found = calls.get(step.params["name"], []) if step.primitive.name == "name" else []
        if len(found) != 1:
            continue
        (call,), (value,) = found, step.invars
        if not isinstance(call.layer, BatchNorm):
            if get_activation(call.layer.activation) is linear and set(arrays[call.place]) == {1}:
                made[step.outvars[0]] = call
        elif value in made and uses[value] == 1 and not any(arrays.get(call.place, ())):
            pairs.append((made[value], call))
    return pairs


def _move(flat: dict[Place, Any], layer: _Call, norm: _Call) -> None:
    """Moves the normalization's product into the layer's kernel, and its sum into a bias."""

    def take(collection: str, name: str, default: float) -> np.ndarray:
        return np.asarray(flat.pop((collection, *norm.place, name), default), np.float64)

    def put(path: Place, value: np.ndarray) -> None:
        flat[path] = (jnp if isinstance(kernel, jax.Array) else np).asarray(value, kernel.dtype)

    kind = type(layer.layer)
    path, bias = ("params", *layer.place, KERNELS[kind]), ("params", *layer.place, "bias")
    kernel = flat[path]
    factor = take("params", "scale", 1) / np.sqrt(take("batch_stats", "var", 1) + norm.layer.epsilon)
    offset = take("params", "bias", 0) - take("batch_stats", "mean", 0) * factor
    if kind is ConvTranspose:
        product = factor[:, None]
    elif kind is DepthwiseConv:
        product = factor.reshape(kernel.shape[-2:])
    else:
        product = factor
    put(path, np.asarray(kernel, np.float64) * product)
    if bias in flat:
        put(bias, np.asarray(flat[bias], np.float64) * factor + offset)
    else:
        put(("params", *norm.place, "bias"), offset)
