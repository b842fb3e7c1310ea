"""The documented networks by name, and the documented shape of one input example for each.

``MODELS[name](num_classes=..., dtype=...)`` is a Linen module: after ``init(key, x)``,
``apply(variables, x, train=False, features=False)`` returns logits, or with ``features=True`` the input of
the head. Images are NHWC; parameters and statistics are float32 whatever the ``dtype`` of the arithmetic.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from flax import linen

from jaxnets import nn
from jaxnets.errors import Table
from jaxnets.models.alexnet import AlexNet8, Baseline
from jaxnets.models.cnn import CNN, CNN8, FashionCNN
from jaxnets.models.heads import Classifier, Localizer
from jaxnets.models.inception import Inception10
from jaxnets.models.lenet import LeNet5, LeNet5Sigmoid
from jaxnets.models.mlp import MLP, Perceptron
from jaxnets.models.recurrent import RecurrentNet, StockRNN
from jaxnets.models.resnet import ResNet, ResNet18, ResNet34, ResNet50
from jaxnets.models.speednet import SpeedNet, whitening
from jaxnets.models.vgg import VGG, VGG16, VGG19
from jaxnets.models.xception import Xception


def on_xception(
    head: Callable[..., linen.Module], num_classes: int = 5, axis_name: str | None = None, dtype: Any = None
) -> linen.Module:
    """Returns a head of `jaxnets.models.heads` on Xception, with 5 classes by default."""
    return head(Xception(axis_name=axis_name, dtype=dtype), num_classes=num_classes, dtype=dtype)


MODELS: dict[str, Callable[..., linen.Module]] = Table("model")
MODELS |= {
    "perceptron": Perceptron,
    "mlp": MLP,
    "lenet5": LeNet5,
    "lenet5_sigmoid": LeNet5Sigmoid,
    "cnn": CNN,
    "cnn8": CNN8,
    "fashion_cnn": FashionCNN,
    "baseline": Baseline,
    "alexnet8": AlexNet8,
    "vgg16_cifar": VGG,
    "inception10": Inception10,
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "xception": Xception,
    "xception_classifier": partial(on_xception, Classifier),
    "xception_localizer": partial(on_xception, Localizer),
    "vgg16": VGG16,
    "vgg19": VGG19,
    "speednet": SpeedNet,
    "letters_1to1": RecurrentNet,
    "letters_4to1": RecurrentNet,
    "letters_1to1_embedding": partial(RecurrentNet, vocabulary=5),
    "letters_4to1_embedding": partial(RecurrentNet, vocabulary=26, units=(10,), num_classes=26),
    "stock_rnn": StockRNN,
    "stock_lstm": partial(StockRNN, layer=nn.LSTM),
    "stock_gru": partial(StockRNN, layer=nn.GRU),
}

# The shape of one example, without the batch axis; the embedding networks take integer ids.
INPUT_SHAPES: dict[str, tuple[int, ...]] = Table("model")
INPUT_SHAPES |= {
    "perceptron": (4,),
    "mlp": (28, 28, 1),
    "lenet5": (28, 28, 1),
    "lenet5_sigmoid": (32, 32, 3),
    "cnn": (28, 28, 1),
    "cnn8": (28, 28, 1),
    "fashion_cnn": (28, 28, 1),
    "baseline": (32, 32, 3),
    "alexnet8": (32, 32, 3),
    "vgg16_cifar": (32, 32, 3),
    "inception10": (32, 32, 3),
    "resnet18": (32, 32, 3),
    "resnet34": (224, 224, 3),
    "resnet50": (224, 224, 3),
    "xception": (299, 299, 3),
    "xception_classifier": (224, 224, 3),
    "xception_localizer": (224, 224, 3),
    "vgg16": (224, 224, 3),
    "vgg19": (224, 224, 3),
    "speednet": (32, 32, 3),
    "letters_1to1": (1, 5),
    "letters_4to1": (4, 5),
    "letters_1to1_embedding": (1,),
    "letters_4to1_embedding": (4,),
    "stock_rnn": (60, 1),
    "stock_lstm": (60, 1),
    "stock_gru": (60, 1),
}

__all__ = [
    "CNN",
    "CNN8",
    "INPUT_SHAPES",
    "MLP",
    "MODELS",
    "VGG",
    "VGG16",
    "VGG19",
    "AlexNet8",
    "Baseline",
    "Classifier",
    "FashionCNN",
    "Inception10",
    "LeNet5",
    "LeNet5Sigmoid",
    "Localizer",
    "Perceptron",
    "RecurrentNet",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "SpeedNet",
    "StockRNN",
    "Xception",
    "whitening",
]
