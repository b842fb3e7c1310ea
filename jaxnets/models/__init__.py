"""Every documented network by name, and the shape of one input example as its document has it.

``MODELS[name](num_classes=..., dtype=...)`` is a Linen module: ``init(key, x)``, then
``apply(variables, x, train=False, features=False)`` gives logits, or with ``features=True`` what goes into
the head. Images are NHWC; parameters and statistics are float32 whatever ``dtype`` the arithmetic has.
"""

from collections.abc import Callable

from flax import linen

from jaxnets.models.lenet import LeNet5, LeNet5Sigmoid
from jaxnets.models.mlp import MLP, Perceptron

MODELS: dict[str, Callable[..., linen.Module]] = {
    "perceptron": Perceptron,
    "mlp": MLP,
    "lenet5": LeNet5,
    "lenet5_sigmoid": LeNet5Sigmoid,
}

INPUT_SHAPES: dict[str, tuple[int, ...]] = {
    "perceptron": (4,),
    "mlp": (28, 28, 1),
    "lenet5": (28, 28, 1),
    "lenet5_sigmoid": (32, 32, 3),
}

__all__ = ["INPUT_SHAPES", "MLP", "MODELS", "LeNet5", "LeNet5Sigmoid", "Perceptron"]
