"""`fit(x, y)` and `predict(x)` on arrays, for those who come from Keras.

A `Model` holds a network, its state and the pure steps, and hands them to `jaxnets.train`: it computes
nothing itself, and its numbers are theirs, bit for bit.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxnets import losses, train
from jaxnets.data import ArraySource, Batches, Source, split
from jaxnets.data.device import gather, on_device
from jaxnets.errors import Interrupted, UserError, lookup
from jaxnets.metrics import accuracy, binary_accuracy, categorical_accuracy
from jaxnets.optim import OPTIMIZERS
from jaxnets.platforms import by_platform
from jaxnets.train.misfit import explained
from jaxnets.train.sums import PerExample

IDS = "sparse_categorical_crossentropy"  # the loss whose targets are class ids
# The losses by name, with what makes the probabilities of logits that they compare, and the accuracy.
LOSSES: dict[str, tuple[PerExample, Callable[..., jax.Array] | None, PerExample | None]] = {
    IDS: (losses.sparse_categorical_crossentropy, jax.nn.softmax, accuracy),
    "categorical_crossentropy": (losses.categorical_crossentropy, jax.nn.softmax, categorical_accuracy),
    "binary_crossentropy": (losses.binary_crossentropy, jax.nn.sigmoid, binary_accuracy),
    "mean_squared_error": (losses.mean_squared_error, None, None),
    "mean_absolute_error": (losses.mean_absolute_error, None, None),
    "huber": (losses.huber, None, None),
}


class Model:
    """A network and its training state, `state`: None until the first call makes it (`train.make_state`).

    Args:
        network: A Linen module that returns logits, without a softmax or sigmoid at its end.
        optimizer: A name in `OPTIMIZERS`, or any Optax chain. Default: "adam".
        loss: A name in `LOSSES`, or a function of (outputs, targets) with one value per example. By default
            labels are class ids.
        metrics: Functions like the loss, by name. By default the accuracy of a classification.
        learning_rate: That of an optimizer given by name. By default Keras's: 0.001, and 0.01 for "sgd".
        seed: Seed of the parameters, the order of the examples and all random draws. Default: 0.
        preprocess: Function applied to x first. By default bytes become 0 ... 1 (`train.normalize`).
        augment: Changes of the training examples, as `jaxnets.data.augment.compose` makes them.

    Raises:
        UserError: If a name is unknown, or a learning rate is given with an Optax chain.

    Examples:
        >>> from jaxnets.models import MODELS
        >>> x = np.random.default_rng(0).normal(size=(100, 4))
        >>> model = Model(MODELS["perceptron"](num_classes=2), learning_rate=0.1)
        >>> history = model.fit(x, (x[:, 0] > 0).astype(int), epochs=20)
        >>> history[-1]["accuracy"] > 0.9, model.predict(x[:3]).shape
        (True, (3, 2))
    """

    def __init__(
        self,
        network: linen.Module,
        optimizer: str | optax.GradientTransformation = "adam",
        loss: str | PerExample = IDS,
        metrics: Mapping[str, PerExample] | None = None,
        *,
        learning_rate: Any = None,
        seed: int = 0,
        preprocess: Callable[[jax.Array], jax.Array] = train.normalize,
        augment: Any = None,
    ):
        if isinstance(optimizer, str):
            rate = learning_rate if learning_rate is not None else 0.01 if optimizer == "sgd" else 1e-3
            optimizer = lookup(OPTIMIZERS, optimizer, "optimizer")(rate)
        elif learning_rate is not None:
            raise UserError("an Optax chain has a learning rate of its own: leave learning_rate out")
        self._loss, own = loss, (loss, None, None)
        function, activation, right = lookup(LOSSES, loss, "loss") if isinstance(loss, str) else own
        measured = metrics if metrics is not None else {"accuracy": right} if right else {}
        how: Any = {"loss": function, "metrics": measured, "preprocess": preprocess}
        self.network, self.optimizer, self.seed = network, optimizer, seed
        self.state: train.TrainState | None = None
        self._shape: tuple[int, ...] | None = None
        self._train_step = train.make_train_step(network, optimizer, augment=augment, **how)
        self._eval_step = jax.jit(train.make_eval_step(network, **how))

        @jax.jit
        @by_platform
        def outputs(variables: Any, batch: Any) -> Any:
            logits = network.apply(variables, preprocess(gather(batch)["x"]), train=False)
            if isinstance(loss, str) and not isinstance(logits, jax.Array):
                raise UserError(f"the network has several outputs, and {loss} one: give a function as loss")
            return activation(logits) if activation else logits

        self._outputs = outputs

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: tuple[Any, Any] | None = None,
        validation_split: float = 0.0,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Trains for `epochs` epochs more, by `train.fit`, and returns the records that it does.

        Args:
            x: Inputs, (N, ...).
            y: Class ids, (N,); or one-hot labels or numbers as in Keras, where (N,) stands for (N, 1).
            batch_size: Number of examples in a batch; the last one may be smaller.
            epochs: Number of epochs.
            validation_data: (x, y) to evaluate on after every epoch. By default none.
            validation_split: Share of the last examples to evaluate on instead. Default: 0.
            options: Further arguments of `train.fit`, such as callbacks and keep.

        Raises:
            UserError: If arrays do not fit each other or the network; or as `train.fit`.
            Interrupted: On Ctrl-C; `state` is what has been learned.
        """
        source: Source = self._source(x, y)
        judge: Source | None = self._source(*validation_data) if validation_data else None
        if validation_split and judge:
            raise UserError("validation_data and validation_split are two ways: give one of them")
        if validation_split:
            source, judge = split(source, float(validation_split))
        batches = Batches(source, batch_size, self.seed)
        state, steps = self._built(x), batches.steps_per_epoch
        done = -(-int(state.step) // steps)  # an epoch that was broken off, or of other batches, is over
        validation = train.Validation(self._eval_step, Batches(judge, batch_size)) if judge else None
        state = dataclasses.replace(state, step=jnp.int32(done * steps))
        more = {"epochs": done + epochs, "validation": validation, **options}
        try:
            self.state, history = train.fit(state, self._train_step, batches, **more)
        except Interrupted as stopped:
            self.state = stopped.state
            raise
        return history

    def evaluate(self, x: Any, y: Any, *, batch_size: int = 32) -> dict[str, float]:
        """Returns the loss and the metrics by name, by `train.evaluate`."""
        source = self._source(x, y)
        return train.evaluate(self._eval_step, self._built(x).variables, Batches(source, batch_size))

    def predict(self, x: Any, *, batch_size: int = 32) -> Any:
        """Returns what `network.apply` does, (N, ...), after the softmax or sigmoid that `LOSSES` names."""
        batches, variables = Batches(ArraySource(x, np.zeros(len(x))), batch_size), self._built(x).variables
        found = [jax.device_get(self._outputs(variables, batch)) for batch in on_device(batches).epoch()]
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(x)], *found)

    def _built(self, x: Any) -> train.TrainState:
        shape = np.shape(x)[1:]
        if self._shape not in (None, shape):
            raise UserError(
                f"examples of shape {shape}: those before had {self._shape}, and the network keeps it"
            )
        if self.state is None:
            self.state = train.make_state(self.network, self.optimizer, shape, self.seed)
        self._shape = shape
        return self.state

    def _check_ids(self, source: ArraySource) -> None:
        first = source[np.arange(1)]
        with explained("the network", first):
            count = jax.eval_shape(self._outputs, self._built(source.x).variables, first).shape[-1]
        if source.y.dtype == np.int32 and source.y.max() >= count:
            low, high = source.y.min(), source.y.max()
            raise UserError(
                f"labels run from {low} to {high}: with {count} outputs they must be 0 to {count - 1}"
            )

    def _source(self, x: Any, y: Any) -> ArraySource:
        y = np.asarray(y)
        if self._loss == IDS:
            y = y[:, 0] if y.shape[1:] == (1,) else y
            source = ArraySource(x, y.astype(int) if y.dtype.kind == "f" and (y == np.round(y)).all() else y)
            self._check_ids(source)
            return source
        if isinstance(self._loss, str):
            y = (y[:, None] if y.ndim == 1 else y).astype(np.float32)
        return ArraySource(x, y)
