"""A Keras layer and ours with the same random weights: the same outputs and the same gradients."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.keras_random import random_weights

NAMES = {"gamma": "scale", "beta": "bias", "embeddings": "embedding"}


def place_of(variable):
    """The path in our parameters of a Keras variable."""
    name = variable.path.rsplit("/", 1)[-1]
    way = [way for way in ("forward", "backward") if f"{way}_" in variable.path]
    return (*way, NAMES.get(name, name))


def nested(values, theirs):
    tree = {}
    for value, variable in zip(values, theirs.trainable_variables, strict=True):
        *parts, name = place_of(variable)
        inner = tree
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return tree


def check(theirs, ours, x, kwargs=None, their_kwargs=None, tolerance=1e-5):
    """Compares outputs, and gradients in x and the parameters under cotangents that are not all alike.

    The keyword arguments of a call are those of ours and those of Keras's, the same if these are not given.
    """
    kwargs = kwargs or {}
    their_kwargs = kwargs if their_kwargs is None else their_kwargs
    with jax.numpy_rank_promotion("allow"), random_weights(seed=1):
        theirs.build(x.shape)
    weights = [variable.value for variable in theirs.trainable_variables]
    others = [variable.value for variable in theirs.non_trainable_variables]

    def with_gradients(function, params):
        outputs, pull = jax.vjp(function, params, x)
        return outputs, pull(jax.tree.map(lambda y: jnp.cos(jnp.arange(y.size)).reshape(y.shape), outputs))

    @jax.jit
    def expected(weights):
        def function(weights, x):
            outputs, _ = theirs.stateless_call(weights, others, x, **their_kwargs)
            return list(outputs) if isinstance(outputs, tuple) else outputs

        outputs, (of_weights, of_x) = with_gradients(function, weights)
        return outputs, (nested(of_weights, theirs), of_x)

    @jax.jit
    def found(params):
        def function(params, x):
            outputs = ours.apply({"params": params}, x, **kwargs)
            return list(outputs) if isinstance(outputs, tuple) else outputs

        return with_gradients(function, params)

    with jax.numpy_rank_promotion("allow"):
        right = expected(weights)
    got = found(nested(weights, theirs))
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(np.shape, tree) for tree in (got, right)))
    for our_array, their_array in zip(jax.tree.leaves(got), jax.tree.leaves(right), strict=True):
        size = max(np.max(np.abs(their_array)), 1)  # what cancels keeps the roundings of its terms
        np.testing.assert_allclose(our_array, their_array, rtol=tolerance, atol=tolerance * size)
