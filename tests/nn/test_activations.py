import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.course.activations import ACTIVATIONS, DERIVATIVES
from tests.rounding import ROUNDING

X = np.linspace(-8, 8, 400)  # even, so that 0 is not among them
E = np.exp(-X)
FORMULAS = {  # value and derivative as the course prints them
    "sigmoid": (1 / (1 + E), E / (1 + E) ** 2),
    "tanh": ((1 - E**2) / (1 + E**2), 4 * E**2 / (1 + E**2) ** 2),
    "relu": (np.maximum(X, 0), X >= 0),
    "leaky_relu": (np.where(X >= 0, X, 0.2 * X), np.where(X >= 0, 1, 0.2)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_derivative(name):
    value, derivative = FORMULAS[name]
    x = jnp.asarray(X, jnp.float32)
    close = {"rtol": 1e-5, "atol": 32 * ROUNDING}  # XLA's tanh is a quotient, of degrees 13 and 6
    np.testing.assert_allclose(ACTIVATIONS[name](x), value, **close)
    np.testing.assert_allclose(jax.vmap(jax.grad(ACTIVATIONS[name]))(x), derivative, **close)
    np.testing.assert_allclose(DERIVATIVES[name](x), derivative, **close)


def test_softmax_and_its_jacobian():
    x = jnp.array([1.01, 2.01, -0.66])
    p = np.array([0.25598174, 0.69583046, 0.0481878])  # documented
    np.testing.assert_allclose(ACTIVATIONS["softmax"](x), p, rtol=1e-6)
    expected = [[p[i] * ((i == j) - p[j]) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(jax.jacobian(ACTIVATIONS["softmax"])(x), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(DERIVATIVES["softmax"](x), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_extreme_inputs_give_numbers(name):
    x = jnp.array([-3e38, -1e4, 0, 1e4, 3e38], jnp.float32)
    gradient = jax.jacobian(ACTIVATIONS[name])(x)
    assert np.all(np.isfinite(ACTIVATIONS[name](x)))
    assert np.all(np.isfinite(gradient))


def test_relu_has_derivative_0_at_0_as_in_tensorflow():
    assert jax.grad(ACTIVATIONS["relu"])(0.0) == 0
