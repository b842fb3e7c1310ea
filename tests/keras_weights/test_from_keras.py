"""Every kind of Keras model, from every kind of file, computes the same in JAX."""

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen
from keras.src.legacy.saving import legacy_h5_format
from keras_pairs import PAIRS, random_model

from jaxnets import nn
from jaxnets.errors import UserError
from jaxnets.keras_weights import from_keras

# Keras itself copies its variables in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FORMATS = [".keras", ".weights.h5", "whole.h5", "weights-only.h5"]
# What a format cannot tell, because it has no order of layers (see jaxnets/keras_weights/__init__.py).
UNTOLD = {
    ("nested", ".weights.h5"): "does not say which comes first",
    ("partial_norms", ".weights.h5"): "misshapen: batch_normalization",  # gamma or beta?
    ("branches", ".weights.h5"): "does not say which comes first",
    ("branches", "weights-only.h5"): "does not say which comes first",
    ("inception", ".weights.h5"): "does not say which of its equal branches is which",
    ("inception", "weights-only.h5"): "does not say which of its equal branches is which",
    ("sequential", ".weights.h5"): "does not say which comes first",
    ("sequential", "weights-only.h5"): "does not say which comes first",
}


# Without a graph, the order of attributes is a guess where a block has equal convolutions side by side.
GUESSED = {"subclassed"}


def write(model, path):
    if path.name.endswith("weights-only.h5"):  # as Keras 2's save_weights and keras.applications write
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    elif path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def inputs_for(name):
    shape = (3, *PAIRS[name].input_shape)
    rng = np.random.default_rng(1)
    return rng.integers(0, 11, shape) if name == "recurrent" else rng.normal(size=shape).astype("float32")


@pytest.fixture(scope="module", params=PAIRS)
def example(request):
    pair = PAIRS[request.param]
    model = random_model(pair.keras_model)
    x = inputs_for(request.param)
    with jax.numpy_rank_promotion("allow"):
        return request.param, pair, model, x, np.asarray(model(x, training=False))


def same(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(
        jax.tree.map(lambda u, v: np.array_equal(u, v), a, b)
    )


@pytest.mark.sampled(3)
def test_live_model_predicts_the_same(example):
    name, pair, model, x, expected = example
    shape = pair.input_shape if name == "subclassed" else None
    variables = from_keras(model, pair.module, input_shape=shape, unchecked=name in GUESSED)
    assert all(array.dtype == jnp.float32 for array in jax.tree.leaves(variables))
    np.testing.assert_allclose(jax.jit(pair.module.apply)(variables, x), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.filterwarnings("ignore:.*HDF5 file.*")
@pytest.mark.parametrize("ending", FORMATS)
def test_files_give_the_same_bits_as_the_live_model(example, ending, tmp_path):
    name, pair, model, _, _ = example
    guess = name in GUESSED
    expected = from_keras(model, pair.module, input_shape=pair.input_shape, unchecked=guess)
    path = write(model, tmp_path / ("model" + ending))
    if guess:
        with pytest.raises(UserError, match="does not say which of its equal branches is which"):
            from_keras(path, pair.module, input_shape=pair.input_shape)
    if (name, ending) in UNTOLD:
        with pytest.raises(UserError, match=UNTOLD[name, ending]):
            from_keras(path, pair.module, input_shape=pair.input_shape)
        return
    assert same(from_keras(path, pair.module, input_shape=pair.input_shape, unchecked=guess), expected)


def random_graph(rng, size):
    """Inputs of every node among those before it; the last adds all that nothing else uses."""
    inputs = [
        rng.choice(i, size=min(i, int(rng.integers(1, 3))), replace=False).tolist() for i in range(1, size)
    ]
    used = {j for node in inputs for j in node}
    return [[], *inputs, [i for i in range(1, size) if i not in used]]


def random_order(rng, graph):
    order = [0]
    while len(order) < len(graph):
        ready = [i for i in range(len(graph)) if i not in order and set(graph[i]) <= set(order)]
        order.append(int(rng.choice(ready)))
    return order


class RandomNet(linen.Module):
    graph: tuple
    order: tuple

    @linen.compact
    def __call__(self, x):
        results = {0: x}
        for i in self.order[1:]:
            results[i] = nn.Dense(3)(sum(results[j] for j in self.graph[i]))
        return results[len(self.graph) - 1]


@pytest.mark.parametrize("seed", range(6))
def test_any_graph_in_any_order(seed):
    """Twenty layers of equal shapes, made in one order and called in another: the graph alone pairs them."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 20)

    def make():
        results = {0: keras.Input((3,))}
        for i in random_order(rng, graph)[1:]:
            parts = [results[j] for j in graph[i]]
            results[i] = keras.layers.Dense(3)(keras.layers.Add()(parts) if len(parts) > 1 else parts[0])
        return keras.Model(results[0], results[len(graph) - 1])

    model = random_model(make, seed)
    module = RandomNet(tuple(map(tuple, graph)), tuple(random_order(rng, graph)))
    x = rng.normal(size=(2, 3)).astype("float32")
    with jax.numpy_rank_promotion("allow"):
        expected = np.asarray(model(x))
    np.testing.assert_allclose(module.apply(from_keras(model, module), x), expected, rtol=1e-4, atol=1e-5)
