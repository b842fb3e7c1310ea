"""Mean average precision from eleven points of a precision-recall curve (F7).

    python experiments/average_precision.py

Documented: the running maximum from the right of the precisions at the recalls 0, 0.1 ... 1 has the mean
0.7136 (derived: the document draws it and prints no figure). The result by COCO's rule, with 101 points of
recall, is printed as well.
"""

from jaxnets.cli import commandline

from jaxnets import metrics, plots, report

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

PRECISIONS = [0.91, 0.94, 0.96, 0.94, 0.95, 0.92, 0.80, 0.60, 0.45, 0.20, 0.10]
DOCUMENTED = {"mean average precision": 0.7136}
DERIVED = ("mean average precision",)  # the document draws it


def main(*, workdir: Path = Path("runs/average_precision")) -> dict[str, Any]:
    """Average the documented precisions by both rules and draw them.

    Args:
        workdir: Folder for precision_recall.png.
    """
    precisions, recalls = jnp.array(PRECISIONS), jnp.linspace(0, 1, 11)
    best = metrics.maximum_precisions(precisions)
    mean = metrics.interpolated_average_precision(precisions, recalls, points=11)
    measured = {
        "mean average precision": np.round(mean, 4),
        "with 101 points": metrics.interpolated_average_precision(precisions, recalls, points=101),
        "best precisions": best,
    }
    report.beside(DOCUMENTED, measured, derived=DERIVED)
    print(f"by COCO's rule, 101 points of recall: {measured['with 101 points']:.4f}")
    plots.precision_recall(recalls, precisions, best, float(mean), workdir / "precision_recall.png")
    return measured


if __name__ == "__main__":
    commandline.run(main)
