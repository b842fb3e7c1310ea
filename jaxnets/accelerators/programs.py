"""The programs that can be planned: a training step as `fit` runs it, or a forward pass, and their shapes."""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets import losses, metrics
from jaxnets.accelerators.chips import Chip
from jaxnets.data.augment import compose_for, parse
from jaxnets.data.device import SHARE, Rows
from jaxnets.data.source import Features
from jaxnets.folding import fold_batch_norm
from jaxnets.platforms import by_platform
from jaxnets.train import make_state, make_train_step, normalize
from jaxnets.train.program import make_program
from jaxnets.train.sharding import state_sharding

Shape = jax.ShapeDtypeStruct


@dataclasses.dataclass(frozen=True)
class Job:
    """A program to plan: training or inference of a network.

    Attributes:
        model: The network.
        shape: Shape of one example.
        optimizer: The Optax transformation. None: only forward passes, no training.
        sharding: "data": only batches are split over several chips; "fsdp": the training state, too.
        augment: Changes of the training images, as NAME or NAME=A:B.
        remat: Whether activations are computed again in the backward pass.
        ids: Whether examples are integers, for networks that embed them.
        examples: Examples of the training data set, which lies on the device if it takes less than a quarter
            of its memory, as in `fit`. None: batches come from the host.
    """

    model: linen.Module
    shape: tuple[int, ...]
    optimizer: optax.GradientTransformation | None = None
    sharding: Literal["data", "fsdp"] = "data"
    augment: tuple[str, ...] = ()
    remat: bool = False
    ids: bool = False
    examples: int | None = 50_000

    def program(self, chip: Chip, devices: list[Any], batch: int) -> tuple[Any, tuple[Any, ...]]:
        """Returns the jitted function, and the shapes of its arguments on these devices.

        Args:
            chip: What the devices are.
            devices: The devices.
            batch: Examples over all of them.
        """
        mesh = Mesh(np.array(devices), (self.sharding,))
        return self._forward(mesh, batch) if self.optimizer is None else self._training(chip, mesh, batch)

    def _stored(self, count: int) -> Shape:
        """Examples as data sets store them: images are bytes."""
        image = len(self.shape) == 3 and self.shape[-1] in (1, 3)
        return Shape((count, *self.shape), jnp.int32 if self.ids else jnp.uint8 if image else jnp.float32)

    def _forward(self, mesh: Mesh, batch: int) -> tuple[Any, tuple[Any, ...]]:
        """The forward pass of `Run.probabilities`."""
        state = self._state(optax.identity())
        zeros = {"params": state.params, **state.model_state}
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), zeros)
        model, variables = fold_batch_norm(self.model, zeros, self.shape)

        @jax.jit
        @by_platform
        def forward(variables: Any, x: jax.Array) -> Any:
            return jax.tree.map(jax.nn.softmax, model.apply(variables, normalize(x)))

        return forward, (_whole(variables, mesh), _split(self._stored(batch), mesh))

    def _state(self, optimizer: optax.GradientTransformation) -> Any:
        return jax.eval_shape(lambda: make_state(self.model, optimizer, self.shape))

    def _training(self, chip: Chip, mesh: Mesh, batch: int) -> tuple[Any, tuple[Any, ...]]:
        optimizer = self.optimizer
        assert optimizer is not None
        state = self._state(optimizer)
        outputs = jax.eval_shape(
            lambda state, x: self.model.apply({"params": state.params, **state.model_state}, normalize(x)),
            state,
            self._stored(1),
        )
        targets, learning = _learning(outputs)
        one = {"x": self._stored(1), **targets}
        changes = parse(self.augment)
        if any(change.mix for change in changes):  # they make proportions of labels
            learning = {
                "loss": losses.categorical_crossentropy,
                "metrics": {"accuracy": metrics.categorical_accuracy},
            }
        classes = tuple(map(str, range(jax.tree.leaves(outputs)[0].shape[-1])))
        features = Features(self.shape, str(one["x"].dtype), classes)
        augment = compose_for(features, changes)
        step = make_train_step(self.model, optimizer, augment=augment, remat=self.remat, **learning)
        plan = {"index": Shape((batch,), jnp.int32), "mask": Shape((batch,), jnp.float32)}
        size = math.prod(self.shape) * one["x"].dtype.itemsize * (self.examples or 0)
        if self.examples and size < SHARE * chip.memory:
            rows = {name: _many(leaf, self.examples) for name, leaf in one.items()}
            resident = jax.eval_shape(lambda rows: {name: Rows.of(leaf) for name, leaf in rows.items()}, rows)
            batches = {"resident": _whole(resident, mesh), **_split(plan, mesh)}
        else:
            batches = _split({name: _many(leaf, batch) for name, leaf in one.items()} | plan, mesh)
        platform = "gpu" if chip.platform == "cuda" else chip.platform
        program = make_program(step, state.params, platform, mesh=mesh)
        sums = jax.eval_shape(step, state, batches)[1]
        places = state_sharding(state, mesh)
        state = jax.tree.map(lambda leaf, place: Shape(leaf.shape, leaf.dtype, sharding=place), state, places)
        return program, (state, _whole(sums, mesh), [batches])


def _learning(outputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What such outputs are trained on: the targets of one example, and the options of `make_train_step`."""
    label, number = Shape((1,), jnp.int32), Shape((1,), jnp.float32)
    if isinstance(outputs, dict):  # a class and a box
        parts: dict[str, Any] = {
            "class": (losses.sparse_categorical_crossentropy, 0.8),
            "box": (losses.mean_squared_error, 0.2),
        }
        both = {"class": "y", "box": "boxes"}
        options: dict[str, Any] = {
            "loss": losses.heads(parts),
            "metrics": {"accuracy": losses.of_head("class", metrics.accuracy)},
            "targets": lambda batch: {name: batch[key] for name, key in both.items()},
        }
        return {"y": label, "boxes": Shape((1, 4), jnp.float32)}, options
    if outputs.shape[-1] == 1:
        return {"y": Shape((1, 1), number.dtype)}, {"loss": losses.mean_squared_error, "metrics": {}}
    return {"y": label}, {}


def _many(one: Shape, count: int) -> Shape:
    return Shape((count, *one.shape[1:]), one.dtype)


def _whole(tree: Any, mesh: Mesh) -> Any:
    place = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: Shape(leaf.shape, leaf.dtype, sharding=place), tree)


def _split(tree: Any, mesh: Mesh) -> Any:
    place = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    return jax.tree.map(lambda leaf: Shape(leaf.shape, leaf.dtype, sharding=place), tree)
