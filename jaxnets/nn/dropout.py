"""Dropout, scaled as in Keras."""

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.errors import UserError
from jaxnets.nn.operation import operation


@operation("bernoulli")
def bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> jax.Array:
    """Returns booleans of this shape, each true with the given probability."""
    return jax.random.bernoulli(key, probability, shape)


class Dropout(linen.Module):
    """In training, sets a fraction ``rate`` of the values to zero and divides the others by ``1 - rate``.

    This keeps the expectation, so inference needs no change. It draws from the "dropout" stream of keys.
    """

    rate: float

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Returns x with dropout if ``train``, else x itself; same shape and dtype.

        Raises:
          UserError: If the rate is not in [0, 1): a rate of 50 meant as per cent would silence the layer.
        """
        if not 0 <= self.rate < 1:
            raise UserError(f"dropout rate {self.rate}: it must be at least 0 and below 1")
        if not train or self.rate == 0:
            return x
        keep = bernoulli(self.make_rng("dropout"), 1 - self.rate, x.shape)
        keep = keep ^ jnp.zeros_like(x, bool)  # under an explicit mesh, laid out as x is
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros_like(x))
