"""A training written out: the loss, its gradient, the update and the loop, without `jaxnets.train`.

    python experiments/own_loop.py

jaxnets' networks are plain Flax modules, its optimizers plain Optax transformations and its batches NumPy
arrays. `train.fit` adds what else a real run needs: it survives being killed, uses several devices, stops at
a loss that is not finite, and shows its progress. Its numbers are the same.
"""

from jaxnets.cli import commandline

from jaxnets import data, losses, metrics, models, optim

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def main(
    *, epochs: int = 3, batch_size: int = 32, learning_rate: float = 1e-3, seed: int = 0
) -> list[dict[str, Any]]:
    """Train LeNet-5 on the digits and print one line per epoch.

    Args:
        epochs: Passes over the digits.
        batch_size: Digits in a step.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights and the order of the digits.
    """
    # 1. data
    digits = data.load("digits")
    batches, held_out = data.Batches(digits.train, batch_size, seed), data.Batches(digits.test, 256)
    # 2. network
    network = models.MODELS["lenet5"]()
    key, _ = jax.random.split(jax.random.PRNGKey(seed))
    params = network.init(key, jnp.zeros((1, *digits.features.shape)))["params"]
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    memory = optimizer.init(params)

    def total_loss(params, batch):
        """The loss added up over the examples that count, and how many of them are right."""
        logits: Any = network.apply({"params": params}, batch["x"] / 255.0)
        loss = losses.sparse_categorical_crossentropy(logits, batch["y"]) * batch["mask"]
        return loss.sum(), (metrics.accuracy(logits, batch["y"]) * batch["mask"]).sum()

    @jax.jit
    def train_step(params, memory, batch):
        (loss, right), gradient = jax.value_and_grad(total_loss, has_aux=True)(params, batch)
        gradient = jax.tree.map(lambda leaf: leaf / batch["mask"].sum(), gradient)  # of the mean
        updates, memory = optimizer.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory, (loss, right)

    evaluate = jax.jit(total_loss)
    # 4. fit
    history = []
    for epoch in range(epochs):
        sums = np.zeros(2)
        for batch in batches.epoch(epoch):
            params, memory, found = train_step(params, memory, batch)
            sums += found
        loss, accuracy = sums / len(digits.train)
        judged = sum(np.array(evaluate(params, batch)[1]) for batch in held_out.epoch())
        record = {"epoch": epoch + 1, "loss": loss, "accuracy": accuracy}
        history.append(record | {"val_accuracy": judged / len(digits.test)})
        print("  ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))
    return history


if __name__ == "__main__":
    commandline.run(main)
