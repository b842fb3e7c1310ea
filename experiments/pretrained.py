"""What a ResNet-50 trained on ImageNet sees in two photos: its most probable classes, by name (F4).

    python experiments/pretrained.py                        # downloads the official weights once
    python experiments/pretrained.py --weights resnet50.h5  # or a copy, or any Keras file of ResNet-50

china.jpg and flower.jpg are scaled to 224x224 (bilinear) and become BGR minus the mean colour.

Documented: china.jpg is a bell_cote (0.8235), palace (0.0675), monastery (0.0419); flower.jpg a honeycomb
(0.4983), stinkhorn (0.3396), bee (0.0435).
"""

from jaxnets.cli import commandline

from jaxnets import data, plots, report
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.pretrained import class_index, decode_predictions, load_pretrained, preprocess
from jaxnets.summary import summarize

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {
    "parameters": 25_636_712,
    "china: bell_cote": 0.8235,
    "china: palace": 0.0675,
    "china: monastery": 0.0419,
    "flower: honeycomb": 0.4983,
    "flower: stinkhorn": 0.3396,
    "flower: bee": 0.0435,
}
DERIVED = ("parameters",)


def main(
    *, weights: Path | None = None, top: int = 3, workdir: Path = Path("runs/pretrained")
) -> dict[str, Any]:
    """Name what is in the photos.

    Args:
        weights: A Keras file of ResNet-50 with 1,000 classes. By default the official one, downloaded once
            into ~/.cache/jaxnets (or JAXNETS_CACHE).
        top: Number of classes to name.
        workdir: Folder for predictions.png.
    """
    # 1. data
    photos = data.photos()
    shape = INPUT_SHAPES["resnet50"]
    x = jnp.asarray(photos.x, jnp.float32)
    x = jax.image.resize(x, (len(photos), *shape), "bilinear", antialias=False)
    # 2. network
    network = MODELS["resnet50"]()
    variables = load_pretrained("resnet50", weights or "imagenet")
    # 3. what it says
    logits: Any = jax.jit(network.apply)(variables, preprocess("resnet50", x))
    probabilities = np.asarray(jax.nn.softmax(logits))
    best = decode_predictions(probabilities, top)
    titles = []
    for photo, classes in zip(photos.features.classes, best, strict=True):
        titles.append("\n".join(f"{name} {chance:.2%}" for _, name, chance in classes))
        lines = [f"{identity} - {name:12s} {chance:.2%}" for identity, name, chance in classes]
        print("\n  ".join([f"{photo}.jpg:", *lines]))
    # 4. beside the document
    measured: dict[str, Any] = {"parameters": summarize(network, shape).parameters}
    for row, photo in enumerate(photos.features.classes):
        chances = zip(class_index(), probabilities[row], strict=True)
        measured |= {f"{photo}: {name}": float(chance) for (_, name), chance in chances}
    measured = {name: measured[name] for name in DOCUMENTED}
    report.beside(DOCUMENTED, {name: round(value, 4) for name, value in measured.items()}, derived=DERIVED)
    # 5. picture
    plots.images(
        np.asarray(x).astype(np.uint8), titles, workdir / "predictions.png", columns=2, size=(2.6, 3)
    )
    return measured | {"best": best, "history": [], "dataset": "china.jpg, flower.jpg"}


if __name__ == "__main__":
    commandline.run(main)
