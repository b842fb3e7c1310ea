"""Dropout as Keras scales it."""

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.errors import UserError
from jaxnets.nn.operation import operation


@operation("bernoulli")
def bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> jax.Array:
    """Booleans of this shape, each true with the given probability."""
    return jax.random.bernoulli(key, probability, shape)


class Dropout(linen.Module):
    """While training, zeroes a share ``rate`` of the values and divides the rest by ``1 - rate``.

    Keeps the expectation, so inference needs no change. Draws from the "dropout" stream of random keys.
    """

    rate: float

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return x itself unless ``train``; same shape and dtype.

        Raises:
          UserError: the rate is not in [0, 1); 50 for a half would silence the layer without a word.
        """
        if not 0 <= self.rate < 1:
            raise UserError(f"a dropout rate of {self.rate} is no share: give a number from 0 to below 1")
        if not train or self.rate == 0:
            return x
        keep = bernoulli(self.make_rng("dropout"), 1 - self.rate, x.shape)
        keep = keep ^ jnp.zeros_like(x, bool)  # under an explicit mesh, laid out as x is
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros_like(x))
