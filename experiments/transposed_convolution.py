"""A transposed convolution enlarges two photos, as do zeros between the pixels and a correlation (F8).

    python experiments/transposed_convolution.py

Stride 2, 3x3, without padding, 3 -> 5 channels. Documented: 224 -> 449, and both ways give the same.
"""

from jaxnets.cli import commandline

from jaxnets import nn, plots, report

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {"output": "(2, 449, 449, 5)"}


def photos(size: int) -> jax.Array:
    """China and a flower, scikit-learn's: (2, size, size, 3) in 0 to 1."""
    from sklearn.datasets import load_sample_images

    images = jnp.stack([jnp.asarray(image, jnp.float32) / 255 for image in load_sample_images().images])
    return jax.image.resize(images, (2, size, size, 3), "bilinear", antialias=False)


def as_picture(x: jax.Array) -> np.ndarray:
    """Stretches the values over 0 to 255."""
    x = (x - x.min()) / (x.max() - x.min())
    return np.asarray(255 * x).astype(np.uint8)


def main(
    *, size: int = 224, seed: int = 42, workdir: Path = Path("runs/transposed_convolution")
) -> dict[str, Any]:
    """Enlarge both ways and compare.

    Args:
        size: The photos' height and width.
        seed: Seed of the kernel.
        workdir: Folder for enlarged.png.
    """
    x = photos(size)
    kernel = nn.get_initializer("glorot_uniform")(jax.random.key(seed), (3, 3, 5, 3), jnp.float32)
    output = nn.conv_transpose(x, kernel, strides=2)
    upsampled = nn.upsample_with_zeros(x, 2, 3)
    by_hand = nn.conv_transpose_by_upsampling(x, kernel, strides=2)
    measured = {
        "output": str(output.shape),
        "upsampled": str(upsampled.shape),
        "largest value": float(jnp.max(jnp.abs(output))),
        "largest difference": float(jnp.max(jnp.abs(output - by_hand))),
        "dataset": "china.jpg, flower.jpg",
    }
    report.beside(DOCUMENTED, measured)
    print(f"the two ways differ by {measured['largest difference']:.1e} of {measured['largest value']:.2f}")
    pictures = {"input": x[0], "zeros between": upsampled[0], "output, 3 channels": output[0, ..., :3]}
    titles = [f"{name}, {image.shape[0]}x{image.shape[1]}" for name, image in pictures.items()]
    shown = [as_picture(image) for image in pictures.values()]
    plots.images(shown, titles, workdir / "enlarged.png", columns=3, size=(3.6, 3.8))
    return measured


if __name__ == "__main__":
    commandline.run(main)
