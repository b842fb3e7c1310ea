"""Dropout as Keras scales it."""

import jax
import jax.numpy as jnp
from flax import linen


class Dropout(linen.Module):
    """While training, zeroes a share ``rate`` of the values and divides the rest by ``1 - rate``.

    Keeps the expectation, so inference needs no change. Draws from the "dropout" stream of random keys.
    """

    rate: float

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return x itself unless ``train``; same shape and dtype."""
        if not train or self.rate == 0:
            return x
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, x.shape)
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros_like(x))
