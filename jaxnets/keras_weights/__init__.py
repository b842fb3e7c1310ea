"""Conversion of Keras weights to Linen variables and back, exact to the bit.

Examples:
    >>> import keras
    >>> from jaxnets.models import MODELS
    >>> model = MODELS["perceptron"]()
    >>> theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> variables = from_keras(theirs, model)  # a live model ...
    >>> theirs.save("iris.keras")
    >>> variables = from_keras("iris.keras", model)  # ... or any Keras file
    >>> logits = model.apply(variables, np.ones((1, 4), np.float32))
    >>> to_keras(variables, model, theirs)  # and back

Files are read with h5py, without Keras or TensorFlow, and need not be trusted: shapes are compared before any
value is read, and no other file is opened than those that an index (``.weights.json``) lists beside itself.
Layers are paired by name where the names agree, and otherwise by structure: the sequence of the layers of one
kind, their shapes, and the graph if the source has it (a live functional or sequential model, ``.keras``, a
legacy ``.h5`` of a whole model).

How layers whose names differ are paired depends on what the source contains:

* functional and sequential models (live, ``.keras``, or a legacy ``.h5`` of the whole model) contain the
  graph. The module may call its layers in any order; parallel branches that neither the graph nor shapes
  distinguish (a gate's two convolutions) are told apart by what the configuration says is done with them.
* weights alone (legacy ``.h5``; ``.weights.h5`` by Keras 3.6 or later) contain names. Layers with automatic
  names are taken in the order in which they were created; if the order of listing contradicts it, or there
  are equal branches, whose order is the module's own choice, the file is refused.
* ``.weights.h5`` by earlier versions, and layers with your own names in later ones, have only the numbers in
  the paths. If two layers of equal shapes differ by more than numbers, the file is refused.
* subclassed models are like ``.weights.h5`` (live ones: in the order in which layers became attributes).
* for a BatchNorm without gamma or beta, a ``.weights.h5`` does not say which is missing: it is refused.
* for a nested model, a legacy ``.h5`` by Keras 3.0 does not say where its layers begin: it is refused.

In every case layers that have the same names on both sides belong together, whatever their order. Inside a
layer, weights belong together that have the same role (kernel, bias, ...) or name; without names, two of one
shape are refused unless Keras's class of the layer, whose order of weights is known, says which is which.

Where the source contains the configuration (a live model, ``.keras``, a legacy ``.h5`` of a whole model), it
is compared with what the module computes: the settings of each layer (strides, dilation, epsilon, gates, ...)
and what happens between layers (activations, padding, pooling, sums). A difference is refused, since the
network would give other outputs than in Keras. What cannot be known, such as a layer of your own, is not
compared; a softmax or sigmoid at the end may be missing in the module, and inputs may be scaled outside. With
``unchecked=True`` weights are taken in spite of differences, and what only a guess could tell apart is taken
in the order of its creation.
"""

import warnings
import zipfile
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.errors import UserError
from jaxnets.files import complete
from jaxnets.keras_weights.layers import Target, pair_weights, targets_of
from jaxnets.keras_weights.pairing import Pairing, Pairs, pair_layers
from jaxnets.keras_weights.skeleton import Skeleton, make_skeleton
from jaxnets.keras_weights.tree import Leaf, Weight
from jaxnets.keras_weights.writer import write_like, write_new
from jaxnets.summary import summarize
from jaxnets.summary.inputs import Shapes

__all__ = [
    "Pairing",
    "Skeleton",
    "from_keras",
    "load_pairs",
    "make_skeleton",
    "pair_layers",
    "save_keras_weights",
    "to_keras",
]

Variables = dict[str, Any]


def from_keras(
    model_or_path: Any,
    module: linen.Module,
    input_shape: Shapes | None = None,
    dtype: Any = jnp.float32,
    *,
    ignore: Collection[str] = (),
    rename: Mapping[str, str] | None = None,
    partial: Variables | None = None,
    unchecked: bool = False,
) -> Variables:
    """Returns the weights of a Keras model as variables for `module`.

    Args:
        model_or_path: A built model of Keras 3 or Keras 2 (tf_keras), or the path of a ``.keras``,
            ``.weights.h5``, ``.weights.json`` (the index of a file in several parts) or legacy ``.h5``.
        module: A Linen module of the same architecture.
        input_shape: Shape of one example, without the batch axis; needed if the source does not contain it.
            With a tuple of shapes the module is called with several arguments, with a dict of shapes with a
            dict, with a list with a list. Without it, several inputs are given as the module takes them.
        dtype: Dtype of the inputs; for several, also a tuple, dict or list of dtypes.
        ignore: Names of Keras layers, or of models inside the model, that the module does not have: the old
            head of a backbone.
        rename: The module's layers ("block1/conv") by the names of Keras layers ("conv2d_5"), for those that
            cannot be paired otherwise; see `pair_layers` for the pairs that are chosen.
        partial: Variables of the module, as `init` makes them. They are kept in layers that the source does
            not have, or has in other shapes; layers of the source that the module does not have are left out.
            Layers of one name belong together; where names differ, the longest beginnings of both that fit.
            A warning names what was loaded, what was kept and what was left out.
        unchecked: Whether to take the weights even if the configuration says that the module computes
            something else than the Keras model, and to go by order where only a guess could tell layers or
            weights apart.

    Returns:
        The collections of `module` ("params", and "batch_stats" if it has any), in the module's own dtypes;
        a warning says if float64 had to be rounded.

    Raises:
        UserError: If the file cannot be read or does not fit; the message names every layer that is missing,
            left over or of another shape, or every difference in what is computed.
    """
    paired = pair_layers(
        model_or_path,
        module,
        input_shape,
        dtype,
        ignore=ignore,
        rename=rename,
        partial=partial is not None,
        unchecked=unchecked,
    )
    return load_pairs(paired, partial)


def load_pairs(paired: Pairing, partial: Variables | None = None) -> Variables:
    """Returns the weights of paired layers as variables; `from_keras` is this after `pair_layers`.

    Args:
        paired: The pairs.
        partial: Variables of the module, which its layers without a partner keep; needed if there are any.

    Raises:
        UserError: If there are layers without a partner and no variables for them, or a weight is too large
            for the module's type.
    """
    variables, rounded = {}, []
    if partial is not None:
        targets = [target for _, target in paired.pairs]
        variables = _checked(partial, targets + paired.initial)
        if paired.initial or paired.left_out:
            warnings.warn(paired.left_at_initial_values(), stacklevel=3)
    elif paired.initial:
        raise UserError(f"{paired.left_at_initial_values()}: give partial=, variables of {paired.module}")
    for leaf, target in paired.pairs:
        for path, weight in _fit(leaf, target).items():
            given = np.asarray(weight.value)
            variables[path] = _as_type(given, target.variables[path].dtype, leaf.name)
            if given.dtype == np.float64 and not np.array_equal(variables[path], given, equal_nan=True):
                rounded.append("/".join(path[1:]))
    if rounded:
        names = ", ".join(rounded[:3]) + ", ..." * (len(rounded) > 3)
        warnings.warn(f"float64 weights were rounded to the module's own type: {names}", stacklevel=3)
    return unflatten_dict(variables)


def to_keras(
    variables: Variables,
    module: linen.Module,
    keras_model: Any,
    input_shape: Shapes | None = None,
    dtype: Any = jnp.float32,
    *,
    rename: Mapping[str, str] | None = None,
    unchecked: bool = False,
) -> None:
    """Assigns the variables of `module` to a built Keras model of the same architecture; see `from_keras`.

    Raises:
        UserError: If the variables are not the module's, or the model has other layers or computes something
            else.
    """
    paired = pair_layers(keras_model, module, input_shape, dtype, rename=rename, unchecked=unchecked)
    for weight, value in _back(paired.pairs, variables):
        weight.handle.assign(value)


def save_keras_weights(
    path: str | Path,
    variables: Variables,
    module: linen.Module,
    input_shape: Shapes | None = None,
    dtype: Any = jnp.float32,
    like: str | Path | None = None,
    *,
    rename: Mapping[str, str] | None = None,
    unchecked: bool = False,
) -> None:
    """Writes a file that Keras can load (`model.load_weights`), without needing Keras.

    Args:
        path: File to write: ``.weights.h5`` for Keras 3, or any other ``.h5`` for Keras 2 and 3; with `like`
            in the format of that file, or of the weights in a ``.keras`` file.
        variables: Variables of `module`.
        module: The network.
        input_shape: Shape of one example, without the batch axis; not needed if `like` contains it.
        dtype: Dtype of the inputs.
        like: Any Keras file of the same architecture, whose layout is copied with these weights. Without it
            the layers of each class are numbered in call order, which for a chain is Keras's order.
        rename: With `like`, layers that cannot be paired otherwise; see `from_keras`.
        unchecked: Whether to write it even if the configuration in `like` says that the Keras model computes
            something else; see `from_keras`.

    Raises:
        UserError: If the variables are not the module's, `like` is of another network or format, or the
            module has parallel branches and `like` is not given: Keras orders branches by depth, and would
            load some weights into the wrong layers.
    """
    path = Path(path)
    if like is None:
        if input_shape is None:
            raise UserError(
                "the shape of one example is needed to list the layers: give input_shape= or like="
            )
        if path.suffix != ".h5":
            raise UserError(
                "Keras loads such weights from names ending in .h5, Keras 3 also from .weights.h5: rename "
                f"{str(path)!r}"
            )
        targets = targets_of(summarize(module, input_shape, dtype))
        for before, target in pairwise(targets):
            if before.name not in target.fed_by:
                raise UserError(
                    f"{type(module).__name__} has branches ({target.name} is not fed by {before.name}): "
                    "only the Keras model has their order: give like=, a file of it, or use to_keras"
                )
        values = _checked(variables, targets)
        with complete(path) as part:
            write_new(part, targets, values, legacy=_ending(path) == ".h5")
        return
    inner = _ending(path) == ".weights.h5" and zipfile.is_zipfile(like)
    if _ending(path) != _ending(like) and not inner:
        raise UserError(
            f"{path} would get the format of {like}: end its name in {_ending(like)!r}, as Keras expects"
        )
    paired = pair_layers(like, module, input_shape, dtype, rename=rename, unchecked=unchecked)
    new = {weight.handle: value for weight, value in _back(paired.pairs, variables)}
    with complete(path) as part:  # `like` may be the very file that is written again
        write_like(part, Path(like), new, inner=inner)


def _ending(path: str | Path) -> str:
    """Returns the ending by which Keras tells formats apart: ".weights.h5" is not legacy ".h5"."""
    path = Path(path)
    return ".weights.h5" if path.name.endswith(".weights.h5") else path.suffix


def _as_type(values: np.ndarray, dtype: Any, name: str) -> jax.Array:
    """Returns weights in the type of the module's parameters, whose range they must not exceed."""
    with np.errstate(over="ignore"):
        result = values.astype(dtype)
    if not np.array_equal(np.isfinite(values), np.isfinite(result)):
        raise UserError(f"{name} has weights that are too large for {np.dtype(dtype)}, the module's type")
    return jnp.asarray(result)


def _fit(leaf: Leaf, target: Target) -> dict[tuple[str, ...], Weight]:
    fitting = pair_weights(leaf, target)
    assert fitting is not None, "match pairs only what fits"
    return fitting


def _back(pairs: Pairs, variables: Variables) -> list[tuple[Weight, np.ndarray]]:
    """Returns the value for every Keras weight; a gamma or beta that Keras lacks must have no effect."""
    values = _checked(variables, [target for _, target in pairs])
    result = []
    for leaf, target in pairs:
        for path, weight in _fit(leaf, target).items():
            if weight.handle is not None:
                result.append((weight, np.asarray(values[path]).astype(weight.value.dtype)))
            elif not np.array_equal(values[path], weight.value):
                raise UserError(
                    f"{'/'.join(path[1:])} has values, but {leaf.name} has no such weight in Keras:"
                    " build the BatchNormalization with scale=True and center=True"
                )
    return result


def _checked(variables: Variables, targets: list[Target]) -> dict[tuple[str, ...], Any]:
    """Returns the variables by path, after checking that they are those of the module."""
    values = flatten_dict(variables)
    wanted = {path: array.shape for target in targets for path, array in target.variables.items()}
    wrong = [path for path in wanted if path not in values or jax.numpy.shape(values[path]) != wanted[path]]
    wrong += [path for path in values if path not in wanted]
    if wrong:
        names = ", ".join("/".join(path) for path in wrong)
        raise UserError(f"the variables are not those of the module; they differ in: {names}")
    return values
