"""The formulations for CPUs beside the plain ones: what both test files of them use."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.cpu import TABLE
from jaxnets.nn.operation import formulated

RNG = np.random.default_rng(0)


def random(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def close(got, expected, tolerance=1e-5):
    """To 1e-5 of the array's largest number, 168 roundings: of 1,100 terms, those of a sum go either way."""
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(np.shape, tree) for tree in (got, expected)))
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        ours, theirs = (np.nan_to_num(np.asarray(v, np.float64), neginf=-1) for v in (ours, theirs))
        assert np.max(np.abs(ours - theirs)) <= tolerance * max(np.max(np.abs(theirs)), 1e-3)


def value_and_gradients(function, *arguments):
    """The function's value, and its gradients under random cotangents."""
    value, pull = jax.vjp(function, *arguments)
    weights = np.random.default_rng(1).normal(size=value.shape)
    return value, pull(jnp.asarray(weights, value.dtype))


def for_cpu(function):
    """The function traced in the formulations for CPUs."""

    def call(*arguments):
        with formulated(TABLE):
            return function(*arguments)

    return call


def check(function, *arguments, tolerance=1e-5):
    got = jax.jit(for_cpu(partial(value_and_gradients, function)))(*arguments)
    expected = jax.jit(partial(value_and_gradients, function))(*arguments)
    close(got, expected, tolerance)


PADDINGS = ["valid", "same", ((2, 1), (0, 3))]
