"""Muon of the speed records beside NumPy: the polynomial on singular values, and whole steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.optim import orthogonalize, spherical_muon


def by_svd(matrix: np.ndarray, steps: int) -> np.ndarray:
    """The same polynomial, applied to the singular values themselves."""
    u, s, v = np.linalg.svd(np.float64(matrix), full_matrices=False)
    s = s / np.linalg.norm(s)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s @ v


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_orthogonalize_is_a_polynomial_of_the_singular_values(shape):
    stack = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    out = orthogonalize(jnp.asarray(stack), steps=3)
    np.testing.assert_allclose(out, [by_svd(matrix, 3) for matrix in stack], atol=1e-5)
    assert (np.linalg.svd(out, compute_uv=False) < 1.5).all()


def test_steps_of_kernels_by_numpy():
    rng = np.random.default_rng(1)
    shapes = {"a": (3, 3, 2, 4), "b": (3, 3, 2, 4), "c": (1, 1, 4, 5)}  # two of one size, one of another
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    velocity = {name: np.zeros(shape) for name, shape in shapes.items()}
    optimizer = spherical_muon(lambda step: 0.1 / (1 + step), momentum=0.6)
    ours = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    state, update = optimizer.init(ours), jax.jit(optimizer.update)
    for step in range(3):
        grads = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        updates, state = update({name: np.float32(g) for name, g in grads.items()}, state, ours)
        ours = optax.apply_updates(ours, updates)
        for name, shape in shapes.items():
            velocity[name] = 0.6 * velocity[name] + grads[name]
            ahead = (grads[name] + 0.6 * velocity[name]).reshape(-1, shape[-1])
            kernel = params[name] * np.sqrt(shape[-1]) / np.linalg.norm(params[name])
            params[name] = kernel - 0.1 / (1 + step) * by_svd(ahead, 3).reshape(shape)
            np.testing.assert_allclose(ours[name], params[name], atol=1e-5)


def test_a_kernel_of_zeros_learns():
    optimizer, kernel = spherical_muon(0.1), jnp.zeros((3, 2))
    updates, _ = optimizer.update(jnp.ones((3, 2)), optimizer.init(kernel), kernel)
    assert float(jnp.abs(updates).min()) > 0
    assert np.isfinite(updates).all()
