"""A network of ours and its Keras counterpart in one type, and what one training step of each computes.

In float64 they are the truth that their float32 programs are held against.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from flax import linen
from jax.tree_util import tree_map_with_path

from jaxnets import losses
from jaxnets.cpu import TABLE
from jaxnets.models import MODELS
from jaxnets.nn.operation import formulated
from tests.keras_random import keras_in_float64, no_weights
from tests.keras_twins import KERAS_MODELS
from tests.models import branches

# Compiling is what costs in float32; this leaves XLA's own passes alone and spares LLVM's. In float64, where
# convolutions are loops of LLVM's, they run ten times as long without them.
COMPILER_OPTIONS = {"float32": {"xla_backend_optimization_level": 0}, "float64": None}

KERAS_NAMES = {
    "gamma": "scale",
    "beta": "bias",
    "moving_mean": "mean",
    "moving_variance": "var",
    "embeddings": "embedding",
}


@dataclass(frozen=True)
class Network:
    """A registered network, and what is documented of it.

    Attributes:
        shape: of one example, as documented.
        odd_shape: where the documented one takes long, one for inference with a single example.
        training_shape: where the documented one takes long, one for a training step.
    """

    name: str
    shape: tuple[int, ...]
    trainable: int
    not_trainable: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    odd_shape: tuple[int, ...] | None = None
    training_shape: tuple[int, ...] | None = None

    @property
    def label(self) -> str:
        """The name of the test, and of the Keras counterpart."""
        return "_".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])

    def module(self) -> linen.Module:
        """Ours without dropout, which is random and tested on its own."""
        module = MODELS[self.name](**self.options)
        if getattr(module, "activation", None) is linen.relu:  # to be looked up when called; see `branches`
            module = module.clone(activation=lambda x: linen.relu(x))
        return module.clone(dropout=0.0) if hasattr(module, "dropout") else module


class Twins:
    """Our network and Keras's, their programs compiled once for all weights.

    Weights are {"layer/name": float32 array}, batches {"x": ..., "targets": (batch, 4)}.

    Args:
        network: which.
        shape: of one example.
        dtype: "float32" or "float64".
    """

    def __init__(self, network: Network, shape: tuple[int, ...], dtype: str = "float32"):
        self.shape, self.dtype = shape, dtype
        self.embeds = "embedding" in network.name
        self.module = network.module()
        with self._in_type(), no_weights():
            self.keras = KERAS_MODELS[network.label](shape)
        self.template = jax.eval_shape(self.module.init, jax.random.key(0), jnp.zeros((1, *shape)))
        self.names = {
            id(weight): f"{layer.name}/{KERAS_NAMES.get(weight.name, weight.name)}"
            for layer in self.keras.layers
            for weight in layer.weights
        }
        shapes = {
            self.names[id(weight)]: weight.shape for weight in self.keras.weights if id(weight) in self.names
        }
        assert shapes == {name: leaf.shape for name, leaf in flat(self.template).items()}

    def draw(self, seed: int, batch: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Random weights and a random batch, exact in float32."""
        rng = np.random.default_rng(seed)
        weights = {name: _draw(rng, name, leaf.shape) for name, leaf in sorted(flat(self.template).items())}
        size = (batch, *self.shape)
        x = rng.integers(0, 5, size) if self.embeds else rng.normal(size=size)
        return weights, {"x": np.float32(x), "targets": np.float32(rng.normal(size=(batch, 4)))}

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Gives Keras's own variables these values."""
        for variable in self.keras.weights:
            if id(variable) in self.names:
                variable.assign(weights[self.names[id(variable)]])

    @contextmanager
    def _in_type(self):
        wide = keras_in_float64() if self.dtype == "float64" else nullcontext()
        with wide, jax.numpy_rank_promotion("allow"):  # Keras's own code promotes
            yield

    def __call__(self, function: Any, *arguments: Any) -> Any:
        """Calls one of the programs below with arrays in this type; returns NumPy arrays."""

        def cast(array):
            return np.asarray(array, self.dtype if np.issubdtype(array.dtype, np.floating) else None)

        with self._in_type():
            return jax.tree.map(np.asarray, function(*jax.tree.map(cast, arguments)))

    def _jit(self, function: Any) -> Any:
        return jax.jit(function, compiler_options=COMPILER_OPTIONS[self.dtype])

    @cached_property
    def our_outputs(self) -> Any:
        """(weights, batch) -> outputs of inference, by plain layers."""
        return self._jit(lambda weights, batch: self.module.apply(self._variables(weights), batch["x"]))

    @cached_property
    def keras_outputs(self) -> Any:
        """(weights, batch) -> outputs of inference."""
        return self._jit(lambda w, batch: self._keras_apply(w, batch["x"], training=False)[0])

    @cached_property
    def our_step(self) -> Any:
        """(weights, batch[, choices, impose]) -> outputs, losses, statistics, gradients by name; choices.

        In the formulations that training steps take on CPUs.
        """

        def apply(params, statistics, x):
            variables = self._variables({**params, **statistics})
            with formulated(TABLE):
                outputs, new = self.module.apply(variables, x, train=True, mutable=["batch_stats"])
            return outputs, flat(new)

        return self._jit(partial(self._step, apply, _our_loss))

    @cached_property
    def keras_step(self) -> Any:
        """The same of Keras."""

        def apply(params, statistics, x):
            return self._keras_apply({**params, **statistics}, x, training=True)

        return self._jit(partial(self._step, apply, _keras_loss))

    def _step(
        self, apply: Any, loss_of: Any, weights: Any, batch: Any, choices: Any = None, impose: Any = None
    ):
        statistics = {name: value for name, value in weights.items() if name.endswith(("/mean", "/var"))}
        params = {name: value for name, value in weights.items() if name not in statistics}

        def objective(params):
            watched = branches.noted() if choices is None else branches.imposed(choices, impose)
            with watched as taken:
                outputs, new = apply(params, statistics, batch["x"])
            values = loss_of(outputs, batch["targets"])
            return jnp.mean(values), ({"outputs": outputs, "losses": values, "statistics": new}, taken)

        grads, (found, taken) = jax.grad(objective, has_aux=True)(params)
        return {**found, "gradients": grads}, taken

    def _variables(self, weights: Any) -> Any:
        """What our `apply` takes."""
        return tree_map_with_path(lambda path, _: weights[_name(path)], self.template)

    def _keras_apply(self, weights: Any, x: Any, training: bool) -> tuple[Any, Any]:
        """Outputs and new statistics of Keras."""
        kept = self.keras.non_trainable_variables
        trainable = [weights[self.names[id(v)]] for v in self.keras.trainable_variables]
        rest = [weights[self.names[id(v)]] if id(v) in self.names else v.value for v in kept]
        outputs, new = self.keras.stateless_call(trainable, rest, x, training=training)
        return outputs, {self.names[id(v)]: w for v, w in zip(kept, new, strict=True) if id(v) in self.names}


def flat(tree: Any) -> dict[str, Any]:
    """Leaves by "layer/name", the last two steps of their paths; layers of one network have unlike names."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _name(path: tuple) -> str:
    return "/".join(step.key for step in path[-2:])


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith(("/scale", "/var")):
        return np.float32(rng.uniform(0.5, 1.5, shape))
    if "kernel" in name or "embedding" in name:
        return np.float32(rng.normal(0, (2 / (np.prod(shape[:-1]) + shape[-1])) ** 0.5, shape))
    return np.float32(rng.normal(0, 0.1, shape))  # biases, running means


def _loss(crossentropy: Any, squared_error: Any, outputs: Any, targets: jax.Array) -> jax.Array:
    """(batch,): cross-entropy with labels 0, 1, 2, ...; one output's squared error; both of two heads."""
    if isinstance(outputs, dict):
        classes = _loss(crossentropy, squared_error, outputs["class"], targets)
        return 0.8 * classes + 0.2 * squared_error(outputs["box"], targets)
    if outputs.shape[-1] == 1:
        return squared_error(outputs, targets[:, :1])
    return crossentropy(outputs, jnp.arange(len(outputs)) % outputs.shape[-1])


_our_loss = partial(_loss, losses.sparse_categorical_crossentropy, losses.mean_squared_error)
_keras_loss = partial(
    _loss,
    lambda logits, labels: keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True),
    lambda outputs, targets: keras.losses.mean_squared_error(targets, outputs),
)
