import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import data
from jaxnets.course.scan import make_training


def test_equals_a_loop_in_numpy():
    """Linear regression, ten rows in batches of four (the last one masked), SGD, five epochs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 3)).astype(np.float32), rng.integers(0, 2, 10)

    def loss(w, batch):
        squares = jnp.square(batch["x"] @ w - batch["y"])
        return jnp.sum(squares * batch["mask"]) / jnp.sum(batch["mask"])

    batches = data.Batches(data.ArraySource(x, y), 4).epoch()
    training = make_training(loss, optax.sgd(0.05), batches, epochs=5, watch=jnp.sum)
    w, values, sums = training(jnp.zeros(3))

    expected, losses, expected_sums = np.zeros(3), [], []
    for _ in range(5):
        for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
            error = x[rows] @ expected - y[rows]
            losses.append(np.mean(error**2))
            expected = expected - 0.05 * 2 * x[rows].T @ error / len(error)
        expected_sums.append(expected.sum())
    np.testing.assert_allclose(w, expected, rtol=1e-5)
    np.testing.assert_allclose(values, np.reshape(losses, (5, 3)), rtol=1e-5)
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-4)


def test_a_second_start_does_not_compile_again():
    def loss(w, batch):
        return jnp.sum(jnp.square(w - batch["x"]))

    training = make_training(loss, optax.sgd(0.1), [{"x": np.float32(1)}, {"x": np.float32(1)}], epochs=3)
    ends = [training(jnp.float32(start))[0] for start in (0, 5)]
    assert training._cache_size() == 1
    np.testing.assert_allclose(ends, 1 + np.array([-1, 4]) * 0.8**6, rtol=1e-5)
    assert jax.tree.leaves(training(jnp.float32(0))[2]) == []
