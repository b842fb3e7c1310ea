"""Steps that mix two examples: their images and their labels, in the same proportion.

An example's partner is the next one in its batch, which the shuffle makes a random one. That of the last is
the first, in a partial batch as well, whose padding repeats the first.
"""

import jax
import jax.numpy as jnp

from jaxnets.data.augment.ops import Op


def _partner(values: jax.Array) -> jax.Array:
    return jnp.roll(values, -1, axis=0)


def _mixed(values: jax.Array, share: jax.Array) -> jax.Array:
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return share * values + (1 - share) * _partner(values)


def _beta(keys: jax.Array, alpha: float) -> jax.Array:
    return jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)


def mixup(alpha: float = 0.2) -> Op:
    """Adds two images and their labels in a proportion drawn from Beta(alpha, alpha) (arXiv 1710.09412)."""

    def mix(keys: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        share = _beta(keys, alpha)
        return _mixed(x, share), _mixed(y, share)

    return Op(mix=mix)


def cutmix(alpha: float = 1.0) -> Op:
    """Pastes a rectangle of one image into another and mixes their labels by its area (arXiv 1905.04899)."""

    def mix(keys: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        height, width = x.shape[1:3]
        side = jnp.sqrt(1 - _beta(keys, alpha))[:, None] * jnp.array([[height, width]], jnp.float32)
        centre = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1), (2,)))(keys)
        centre = centre * jnp.array([[height, width]], jnp.float32)
        first, last = jnp.round(centre - side / 2), jnp.round(centre + side / 2)
        rows, columns = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None, :]
        first, last = first[:, :, None, None], last[:, :, None, None]
        pasted = (
            (rows >= first[:, 0]) & (rows < last[:, 0]) & (columns >= first[:, 1]) & (columns < last[:, 1])
        )
        share = 1 - jnp.mean(pasted.astype(jnp.float32), axis=(1, 2))
        return jnp.where(pasted[..., None], _partner(x), x), _mixed(y, share)

    return Op(mix=mix)
