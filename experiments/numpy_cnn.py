"""A convolutional network's forward pass in NumPy alone, compared with the same network in JAX (E5).

    python experiments/numpy_cnn.py

x/255 - 0.5 -> 8 filters 3x3, drawn from N(0, 1) / 9 -> max pooling 2 -> softmax: 28x28 -> 26x26x8 -> 13x13x8
-> 10, untrained, over the first 1,000 test images of MNIST, with a line every 100 images.
Documented: the shapes; a loss of about 2.30 and an accuracy of about 10% are derived (nothing is learned).
"""

from jaxnets.cli import commandline

from jaxnets import data, losses, metrics, report
from jaxnets.models import MODELS

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

DOCUMENTED = {"shapes": "26x26x8, 13x13x8, 10", "loss": "about 2.30", "accuracy": "about 0.1"}
DERIVED = ("loss", "accuracy")


def convolve(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """(h, w) and (3, 3, n) -> (h-2, w-2, n)."""
    return np.einsum("ijkl,kln->ijn", sliding_window_view(image, (3, 3)), filters)


def pool(maps: np.ndarray) -> np.ndarray:
    """The largest of each 2x2: (h, w, n) -> (h/2, w/2, n)."""
    height, width, n = maps.shape
    return maps.reshape(height // 2, 2, width // 2, 2, n).max(axis=(1, 3))


def softmax(maps: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """(...) -> (10,)."""
    powers = np.exp(maps.ravel() @ weights + biases)
    return powers / powers.sum()


def main(
    *, dataset: str = "mnist", count: int = 1000, seed: int = 0, data_dir: Path | None = None
) -> dict[str, Any]:
    """Pass test images through both and compare.

    Args:
        dataset: Name of a data set of grey 28x28 images in ten classes. If it is not available, digits are
            used instead.
        count: Number of test images.
        seed: Seed of the weights.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    examples = data.at_hand(dataset, data_dir)
    test = examples.test
    rows = [test[index] for index in range(min(count, len(test)))]
    x = np.stack([row["x"] for row in rows]) / np.float32(255) - np.float32(0.5)
    labels = np.array([row["y"] for row in rows])
    truth = jnp.asarray(labels)

    network = MODELS["cnn8"]()
    variables = network.init(jax.random.key(seed), x[:1])
    logits = jax.jit(network.apply)(variables, x)

    filters, dense = (variables["params"][name] for name in ("conv1", "head"))
    kernel = np.asarray(filters["kernel"])[:, :, 0]  # (3, 3, 1, 8) without the channel
    weights, biases = np.asarray(dense["kernel"]), np.asarray(dense["bias"])
    probabilities = np.stack([softmax(pool(convolve(image, kernel)), weights, biases) for image in x[..., 0]])

    errors, right = -np.log(probabilities[np.arange(len(x)), labels]), probabilities.argmax(axis=1) == labels
    for end in range(100, len(x) + 1, 100):
        loss, percent = errors[end - 100 : end].mean(), int(right[end - 100 : end].sum())
        print(f"[Step {end}] Past 100 steps: Average Loss {loss:.3f} | Accuracy: {percent}%")
    maps = convolve(x[0, ..., 0], kernel)
    shapes = (maps.shape, pool(maps).shape, probabilities[0].shape)
    measured = {
        "shapes": ", ".join("x".join(map(str, shape)) for shape in shapes),
        "loss": errors.mean(),
        "accuracy": right.mean(),
        "loss in JAX": float(jnp.mean(losses.sparse_categorical_crossentropy(logits, truth))),
        "accuracy in JAX": float(jnp.mean(metrics.accuracy(logits, truth))),
        "largest difference": float(np.abs(probabilities - jax.nn.softmax(logits)).max()),
    }
    report.beside(DOCUMENTED, measured, on=examples.name, derived=DERIVED)
    print(f"NumPy and JAX: probabilities differ by {measured['largest difference']:.1e} at most")
    return measured | {"dataset": examples.name}


if __name__ == "__main__":
    commandline.run(main)
