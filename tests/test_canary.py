"""The installed jaxlib computes what NumPy computes: 0.10.2 does not (jax issue 39103)."""

import jax
import jax.numpy as jnp
import numpy as np


def test_this_jaxlib_computes_right_results():
    rows = np.random.default_rng(0).normal(size=(32769, 3)).astype(np.float32)
    squares = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
    np.testing.assert_allclose(squares, (rows**2).sum(1), rtol=1e-5)
