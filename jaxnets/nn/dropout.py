"""Dropout, scaled as in Keras."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen

from jaxnets.errors import UserError
from jaxnets.nn.operation import operation


@operation("bernoulli")
def bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> jax.Array:
    """Returns booleans of this shape, each true with the given probability."""
    return jax.random.bernoulli(key, probability, shape)


def drop(key: jax.Array, x: jax.Array, rate: float, together: Sequence[int] = ()) -> jax.Array:
    """Returns x with a fraction ``rate`` of its values set to zero and the others divided by ``1 - rate``.

    Along the axes in ``together``, a value is dropped with all others. A rate of 1 leaves zeros, as in Keras.
    """
    if rate == 1:
        return jnp.zeros_like(x)
    shape = tuple(1 if axis in together else length for axis, length in enumerate(x.shape))
    keep = bernoulli(key, 1 - rate, shape)
    keep = keep ^ jnp.zeros_like(x, bool)  # under an explicit mesh, laid out as x is
    return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))


def check_rate(rate: float) -> None:
    """Checks a dropout rate.

    Raises:
      UserError: If the rate is not in [0, 1]: a rate of 50 meant as per cent would silence the layer.
    """
    if not 0 <= rate <= 1:
        raise UserError(f"dropout rate {rate}: it must be from 0 to 1")


class Dropout(linen.Module):
    """In training, sets a fraction ``rate`` of the values to zero and divides the others by ``1 - rate``.

    This keeps the expectation, so inference needs no change. It draws from the "dropout" stream of keys. With
    a rate of 1 everything is zero.

    Attributes:
      rate: Fraction to drop, from 0 to 1.
      broadcast_dims: Axes along which values are dropped together: with ``(1, 2)``, whole channels of images,
        Keras's SpatialDropout2D; with ``(1,)``, channels of sequences.
    """

    rate: float
    broadcast_dims: Sequence[int] = ()

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Returns x with dropout if ``train``, else x itself; same shape and dtype.

        Raises:
          UserError: If the rate is not in [0, 1].
        """
        check_rate(self.rate)
        if not train or self.rate == 0:
            return x
        return drop(self.make_rng("dropout"), x, self.rate, self.broadcast_dims)
