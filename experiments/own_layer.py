"""A convolution layer written by hand: trainable, readable, equal to the library's (E1).

    python experiments/own_layer.py

`jaxnets/course/simple_conv.py` is the layer: kernels from Glorot's uniform distribution, biases from a normal
distribution with deviation 0.05, no padding, ReLU; its fields are its configuration. With the same
parameters, its values and gradients are compared with those of Flax's own layer; then the document's LeNet-5
learns the digits with it.

Documented: the configuration's four entries and their defaults; the layer equals the library's (no figures).
"""

from jaxnets.cli import commandline

from jaxnets import data, nn, optim, plots, report, train
from jaxnets.course.simple_conv import SimpleConv
from jaxnets.summary import summarize

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

DOCUMENTED = {"num_kernels": 32, "kernel_size": (3, 3), "strides": (1, 1), "use_bias": True}


class LeNet5(linen.Module):
    """The document's network with the document's layer in place of the library's."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits (batch, 10) of images (batch, 28, 28, 1)."""
        x = nn.max_pool(SimpleConv(6, (5, 5), name="conv1")(x), 2)
        x = nn.max_pool(SimpleConv(16, (5, 5), name="conv2")(x), 2)
        x = linen.relu(nn.Dense(120, name="dense1")(x.reshape(x.shape[0], -1)))
        x = linen.relu(nn.Dense(84, name="dense2")(x))
        return nn.Dense(10, name="head")(x)


def configuration(layer: linen.Module) -> dict[str, Any]:
    """What the document's `get_config` returns: the fields that make the layer what it is."""
    return {field: value for field, value in dataclasses.asdict(layer).items() if field in DOCUMENTED}


def differences(x: jax.Array, seed: int) -> dict[str, float]:
    """Returns the largest differences to Flax's layer, as parts of the largest value."""
    own = SimpleConv(8, (5, 3), (2, 1))
    library = linen.Conv(8, (5, 3), (2, 1), padding="VALID")
    params = own.init(jax.random.key(seed), x)["params"]

    def own_values(params):
        return own.apply({"params": params}, x)

    def library_values(params):
        values: Any = library.apply({"params": params}, x)
        return linen.relu(values)

    def gradients(values):
        return jax.grad(lambda params: jnp.mean(jnp.square(values(params))))(params)

    def largest(ours, theirs):
        parts = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)), ours, theirs)
        return float(max(jax.tree.leaves(parts)))

    return {
        "difference of values": largest(own_values(params), library_values(params)),
        "difference of gradients": largest(gradients(own_values), gradients(library_values)),
    }


def main(
    *, epochs: int = 3, learning_rate: float = 1e-3, seed: int = 0, workdir: Path = Path("runs/own_layer")
) -> dict[str, Any]:
    """Compare the layer with the library's, then train a network that contains it.

    Args:
        epochs: Passes over the digits.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights and the order of the digits.
        workdir: Folder for curves.png.
    """
    # 1. data
    digits = data.load("digits")
    # 2. network: the layer is what the library's is
    report.beside(DOCUMENTED, measured := configuration(SimpleConv()))
    measured |= differences(train.normalize(jnp.asarray(digits.train[np.arange(64)]["x"])), seed)
    print(", ".join(f"{name} {value:.1e}" for name, value in measured.items() if name not in DOCUMENTED))
    network = LeNet5()
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    # 4. fit
    _, history = train.fit(
        train.make_state(network, optimizer, digits.features.shape, seed),
        train.make_train_step(network, optimizer),
        data.Batches(digits.train, 32, seed),
        epochs=epochs,
        validation=train.Validation(train.make_eval_step(network), data.Batches(digits.test, 256)),
    )
    # 5. summary
    print((layers := summarize(network, digits.features.shape)).to_text())
    # 6. picture
    plots.curves(history, workdir / "curves.png", title="LeNet-5 with its own layer on digits")
    return {
        **history[-1],
        "parameters": layers.parameters,
        **measured,
        "history": history,
        "dataset": "digits",
    }


if __name__ == "__main__":
    commandline.run(main)
