"""Sigmoid, tanh, ReLU and leaky ReLU with their derivatives; softmax with its Jacobian (A6).

    python experiments/activations.py

Documented: sigmoid' stays within (0, 0.25], tanh' within (0, 1], ReLU' is 0 or 1; the softmax of
[1.01, 2.01, -0.66] is [0.25598174, 0.69583046, 0.0481878].
"""

from jaxnets.cli import commandline

from jaxnets import plots, report
from jaxnets.course.activations import ACTIVATIONS, DERIVATIVES

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTED = {
    "largest sigmoid'": 0.25,
    "largest tanh'": 1.0,
    "values of relu'": [0.0, 1.0],
    "softmax": [0.25598174, 0.69583046, 0.0481878],
}


def main(*, reach: float = 6.0, workdir: Path = Path("runs/activations")) -> dict[str, Any]:
    """Evaluate, differentiate, compare with the formulas and draw.

    Args:
        reach: End of the x axis, which begins at -reach.
        workdir: Folder for activations.png.
    """
    x = jnp.linspace(-reach, reach, 1001)
    names = [name for name in ACTIVATIONS if name != "softmax"]
    values = {name: ACTIVATIONS[name](x) for name in names}
    slopes = {name: jax.vmap(jax.grad(ACTIVATIONS[name]))(x) for name in names}
    y = jnp.array([1.01, 2.01, -0.66])
    jacobian = jax.jacobian(ACTIVATIONS["softmax"])(y)
    errors = {name: float(jnp.max(jnp.abs(slopes[name] - DERIVATIVES[name](x)))) for name in names}
    errors["softmax"] = float(jnp.max(jnp.abs(jacobian - DERIVATIVES["softmax"](y))))
    measured = {
        "largest sigmoid'": jnp.max(slopes["sigmoid"]),
        "largest tanh'": jnp.max(slopes["tanh"]),
        "values of relu'": np.unique(slopes["relu"]),
        "softmax": ACTIVATIONS["softmax"](y),
        "errors": errors,
    }
    report.beside(DOCUMENTED, measured)
    print("jax.grad against the formulas:", ", ".join(f"{name} {e:.0e}" for name, e in errors.items()))
    panels = {
        name.replace("_", " "): {"f(x)": (x, values[name]), "f'(x)": (x, slopes[name])} for name in names
    }
    plots.lines(panels, workdir / "activations.png", xlabel="x")
    return measured


if __name__ == "__main__":
    commandline.run(main)
