"""How far apart two programs may end that compute the same: processors add up in different orders."""

import jax
import numpy as np

ROUNDING = 2.0**-24  # what rounding to float32 changes in a number at most, as a part of it


def assert_close(got, expected, roundings: int) -> None:
    """Asserts that two trees are equal but for so many roundings of 1, or of an array's largest number.

    A training rounds a weight about as often as it adds something up: steps times examples in a batch.
    """
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        largest = np.max(np.abs(theirs), initial=1.0)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=roundings * ROUNDING * largest)


def assert_bytes_alike(got, expected) -> None:
    """Asserts that images are equal but for few values next to a half, which were rounded to either side."""
    apart = np.abs(np.asarray(got, int) - np.asarray(expected, int))
    assert apart.max() <= 1
    assert apart.mean() < 0.01
