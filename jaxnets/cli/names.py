"""Names that options take, for help and completion, which must not wait for JAX to be imported.

What a name stands for is in the tables of the library; a test holds that these are the same names there. A
name that is added to a table alone works, too.
"""

import importlib.util
import sys
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

MODELS = (
    "perceptron",
    "mlp",
    "lenet5",
    "lenet5_sigmoid",
    "cnn",
    "cnn8",
    "fashion_cnn",
    "baseline",
    "alexnet8",
    "vgg16_cifar",
    "inception10",
    "resnet18",
    "resnet34",
    "resnet50",
    "xception",
    "xception_classifier",
    "xception_localizer",
    "vgg16",
    "vgg19",
    "speednet",
    "letters_1to1",
    "letters_4to1",
    "letters_1to1_embedding",
    "letters_4to1_embedding",
    "stock_rnn",
    "stock_lstm",
    "stock_gru",
)
RECIPES = ("plain", "fast")
OPTIMIZERS = (
    "sgd",
    "sgdm",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adadelta",
    "adam",
    "adamw",
    "adamax",
    "nadam",
    "adafactor",
    "lion",
    "lamb",
    "muon",
)
LOSSES = (
    "sparse_categorical_crossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
    "kl_divergence",
)


def _one_of(names: tuple[str, ...], metavar: str = "") -> Any:
    """Returns the type of an option for tyro: any text, with these names in help and completion.

    Only completion is told that there are no others: a wrong name is refused by who looks it up, with the
    closest right one.
    """
    from tyro.constructors import PrimitiveConstructorSpec

    completing = any(word.startswith("--tyro-") for word in sys.argv)
    spec = PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar or f"{{{','.join(names)}}}",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [value],
        choices=names if completing else None,
    )
    return Annotated[str, spec]


if TYPE_CHECKING or not importlib.util.find_spec("tyro"):  # commandline.run says what to install
    Model: TypeAlias = str
    ModelName: TypeAlias = str
    Recipe: TypeAlias = str
    Optimizer: TypeAlias = str
    TrainOptimizer: TypeAlias = str
    Loss: TypeAlias = str
else:
    from tyro.conf import Positional

    Model = _one_of(MODELS)
    ModelName = Positional[_one_of(MODELS, "NAME")]
    Recipe = _one_of(RECIPES)
    Optimizer = _one_of(OPTIMIZERS)
    TrainOptimizer = _one_of((*OPTIMIZERS, "speed"))
    Loss = _one_of(LOSSES)
