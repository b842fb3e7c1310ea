"""Every system that the documents describe: which script reproduces it, and how `reproduce.py` runs it."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class File(str):
    """A file of the user's, by its name in `--files NAME=PATH`; without it, the option is left out."""


class Row(NamedTuple):
    """One system of the catalogue.

    Attributes:
        what: Its description.
        script: Name of the script in this folder, without .py.
        options: Arguments of its `main`; a data set has its name in TFDS, which `--rename` may change.
        quick: Arguments of a smoke run, besides these or instead of them.
        key: Key of the script's DOCUMENTED, if that is a table by model.
        figures: Names of the figures to show. By default all documented ones.
        documented: Whether the script's DOCUMENTED is about this row's data.
        seeds: Seeds, one for each run.
        pictures: Names of the script's pictures that the page shows.
    """

    what: str
    script: str
    options: Mapping[str, Any] = {}
    quick: Mapping[str, Any] = {}
    key: str | None = None
    figures: tuple[str, ...] = ()
    documented: bool = True
    seeds: tuple[int, ...] = ()
    pictures: tuple[str, ...] = ()


CHAPTERS = {
    "A": "Calculus, tensors, losses",
    "B": "The recipe, own data, tools",
    "C": "Convolutional networks",
    "D": "Recurrent networks",
    "E": "First convolutional networks",
    "F": "Vision beyond classification",
}

SMALL = {"dataset": "digits", "epochs": 1}
THREE, TEN = (0, 1, 2), tuple(range(10))


def network(
    model: str, dataset: str, title: str, seeds: tuple[int, ...] = (0,), documented: bool = True
) -> Row:
    """One of chapter 5's networks."""
    return Row(
        f"{title} on {dataset}",
        "cifar10",
        {"model": model, "dataset": dataset},
        SMALL,
        key=model,
        figures=("parameters", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"),
        documented=documented,
        seeds=seeds,
        pictures=("curves.png", "confusion.png"),
    )


def letters(model: str, title: str) -> Row:
    """One of the networks that continue letters."""
    options = {"model": model}
    return Row(title, "letters", options, {"epochs": 20}, key=model, seeds=THREE, pictures=("curves.png",))


def stock(model: str, title: str) -> Row:
    """One of the networks that continue a stock's prices."""
    options = {"model": model, "csv": File("stock")}
    today = ("rmse of tomorrow = today", "mae of tomorrow = today")
    last = ("rmse of the last epoch", "mae of the last epoch")  # those that are documented
    figures = ("parameters", *last, "rmse", "mae", *today)
    return Row(title, "stock", options, {"epochs": 1}, model, figures, seeds=THREE, pictures=("prices.png",))


def cnn(variant: str, title: str, seeds: tuple[int, ...] = (0,)) -> Row:
    """One of the three trainings of the CNN in E4 and E6."""
    return Row(
        f"{title}, mnist",
        "cnn_mnist",
        {"variant": variant, "dataset": "mnist"},
        SMALL,
        key=variant,
        figures=("parameters", "val_accuracy"),
        seeds=seeds,
        pictures=("curves.png",),
    )


NETWORKS = {
    "C1": ("baseline", "Baseline"),
    "C2": ("lenet5_sigmoid", "LeNet-5"),
    "C3": ("alexnet8", "AlexNet-8"),
    "C4": ("vgg16_cifar", "VGG-16"),
    "C5": ("inception10", "Inception-10"),
    "C6": ("resnet18", "ResNet-18"),
}
# One core trains these within ten minutes. C1 and C2 end anywhere within a twentieth: ten seeds show where.
SEVERAL: dict[str, tuple[int, ...]] = {"C1": TEN, "C2": TEN, "C5": THREE}
SEVERAL |= {"C7 C1": THREE, "C7 C2": THREE}

ROWS = {
    "A1": Row(
        "gradient descent, constant rate",
        "gradient_descent",
        figures=("w, constant rate", "loss before each update", "first step that prints w = -1.000000"),
        pictures=("descent.png",),
    ),
    "A2": Row(
        "gradient descent, decaying rate", "gradient_descent", figures=("w, decaying rate", "last rate")
    ),
    "A3": Row("tensors and gradients", "tensor_basics"),
    "A4": Row("4-3 layer by hand", "forward_pass"),
    "A5": Row("what networks cost", "network_complexity"),
    "A6": Row("activations and derivatives", "activations", pictures=("activations.png",)),
    "A7": Row("yogurt, squared error", "yogurt", figures=("squared error",), pictures=("weights.png",)),
    "A8": Row("yogurt, a cost of its own", "yogurt", figures=("cost 1, profit 99", "cost 99, profit 1")),
    "A9": Row("cross-entropy", "cross_entropy"),
    "A10": Row(
        "L2 on the dots",
        "regularization",
        {"data": File("dots")},
        {"epochs": 40},
        seeds=THREE,
        pictures=("contours.png",),
    ),
    "A11": Row(
        "iris, 4-3 by hand, SGD", "iris_optimizers", figures=("test accuracy of sgd",), pictures=("sgd.png",)
    ),
    "A12": Row(
        "five optimizers by hand",
        "iris_optimizers",
        figures=tuple(f"seconds of {name}" for name in ("sgd", "sgdm", "adagrad", "rmsprop", "adam")),
        pictures=("optimizers.png",),
    ),
    "B1": Row("iris, six steps", "iris", quick={"epochs": 20}, seeds=(18, 0, 1), pictures=("curves.png",)),
    "B2": Row(
        "784-128-10 on mnist, with B3, B6, B7, B8",
        "mnist",
        {"dataset": "mnist"},
        SMALL,
        seeds=TEN,
        pictures=("curves.png",),
    ),
    "B4": Row(
        "images and a label file, cached",
        "own_data",
        {"dataset": "mnist"},
        SMALL,
        figures=(
            "identical from the cache",
            "seconds from the images",
            "seconds from the cache",
            "val_accuracy",
        ),
        seeds=THREE,
    ),
    "B5": Row(
        "augmentation on mnist",
        "augmentation",
        {"dataset": "mnist"},
        SMALL,
        figures=(
            "val_accuracy without",
            "val_accuracy with",
            "val_accuracy without on changed images",
            "val_accuracy with on changed images",
        ),
        seeds=THREE,
        pictures=("augmentation.png",),
    ),
    "B9": Row(
        "photographed digits",
        "application",
        {"dataset": "mnist"},
        SMALL | {"count": 20},
        figures=("photographs read right",),
        seeds=THREE,
        pictures=("sheet.png",),
    ),
    **{
        name: network(model, "cifar10", title, SEVERAL.get(name, (0,)))
        for name, (model, title) in NETWORKS.items()
    },
    "C5 BN": network("inception10_batch_norm", "cifar10", "Inception-10 with batch statistics"),
    **{
        f"C7 {name}": network(
            model, "fashion_mnist", title, SEVERAL.get(f"C7 {name}", (0,)), documented=False
        )
        for name, (model, title) in NETWORKS.items()
    },
    "D1": Row("one recurrent step by hand", "recurrent_step"),
    "D2": letters("letters_1to1", "letters, one-hot, 1 to 1"),
    "D3": letters("letters_4to1", "letters, one-hot, 4 to 1"),
    "D4": letters("letters_1to1_embedding", "letters, embedded, 1 to 1"),
    "D5": letters("letters_4to1_embedding", "26 letters, embedded, 4 to 1"),
    "D6 RNN": stock("stock_rnn", "stock prices, SimpleRNN"),
    "D6 LSTM": stock("stock_lstm", "stock prices, LSTM"),
    "D6 GRU": stock("stock_gru", "stock prices, GRU"),
    "E1": Row(
        "a convolution layer of one's own",
        "own_layer",
        quick={"epochs": 1},
        figures=("num_kernels", "kernel_size", "strides", "difference of values", "difference of gradients"),
        seeds=THREE,
    ),
    "E2": Row(
        "LeNet-5 on mnist, early stopping",
        "lenet_mnist",
        {"dataset": "mnist"},
        SMALL,
        seeds=THREE,
        pictures=("curves.png",),
    ),
    "E3": Row("7x7 image, 3x3 kernel", "convolution_by_hand", figures=tuple(f"row {i}" for i in range(5))),
    "E4": cnn("drawn", "CNN, images drawn with replacement", THREE),
    "E5": Row(
        "NumPy CNN, untrained",
        "numpy_cnn",
        {"dataset": "mnist"},
        {"dataset": "digits"},
        figures=("shapes", "loss", "accuracy", "largest difference"),
    ),
    "E6": cnn("dropout", "the same with dropout, 2,000 steps", THREE),
    "E6 epochs": cnn("dropout_epochs", "the same with dropout, 10 epochs"),
    "E7": Row(
        "Sobel, and other correlations worked by hand",
        "convolution_by_hand",
        figures=(
            "sobel, top left",
            "one channel",
            "two channels",
            "with a bias",
            "parameters of a kernel",
            "convolution less correlation, flipped",
            "1x1 convolution less dense layer",
        ),
    ),
    "F1": Row(
        "line filters over two photos",
        "feature_maps",
        documented=False,
        pictures=("filters.png", "maps.png", "crops.png"),
    ),
    "F2": Row("pooling", "feature_maps", pictures=("pooling.png",)),
    "F3": Row(
        "Fashion-MNIST CNN",
        "fashion_cnn",
        {"dataset": "fashion_mnist"},
        SMALL,
        seeds=(0,),
        pictures=("curves.png",),
    ),
    "F3 Keras 3": Row(
        "the same with Nadam as in Keras 3",
        "fashion_cnn",
        {"dataset": "fashion_mnist", "schedule_decay": 1.0},
        SMALL,
        figures=("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
        seeds=(0,),
    ),
    "F4": Row(
        "ResNet-50 of ImageNet", "pretrained", {"weights": File("resnet50")}, pictures=("predictions.png",)
    ),
    "F5": Row(
        "Xception on flowers",
        "flowers",
        {"weights": File("xception")},
        pictures=("curves.png", "crops-train.png"),
    ),
    "F5 here": Row(
        "ten images of each of five new classes, with and without a backbone of other classes",
        "transfer_learning",
        {"dataset": "cifar10"},
        {"dataset": "digits", "epochs": 1, "few_epochs": 2, "seeds": 1},
        figures=("accuracy from scratch", "accuracy backbone frozen", "accuracy then thawed"),
        pictures=("accuracy.png",),
    ),
    "F6": Row(
        "digits and their boxes",
        "localization",
        quick={"epochs": 1, "times": 1},
        figures=(
            "first class_loss",
            "class_loss",
            "first box_loss",
            "box_loss",
            "val_accuracy",
            "val_iou",
        ),
        documented=False,
        seeds=THREE,
        pictures=("boxes.png",),
    ),
    "F6 Xception": Row(
        "Xception, five batches with random boxes",
        "random_boxes",
        {"dataset": "tf_flowers", "weights": File("xception")},
        {"dataset": "digits", "size": 71, "batch_size": 4},
        figures=(
            *("first loss", "loss", "first class_loss", "class_loss", "first box_loss", "box_loss"),
            *("first accuracy", "accuracy"),
        ),
        seeds=THREE,
    ),
    "F7": Row("mean average precision", "average_precision", pictures=("precision_recall.png",)),
    "F8": Row(
        "transposed convolution",
        "transposed_convolution",
        quick={"size": 32},
        figures=("output", "largest difference"),
        pictures=("enlarged.png",),
    ),
    "F9": Row(
        "ResNet-34, and its first 40 steps",
        "resnet34",
        {"dataset": "cifar10"},
        {"dataset": "digits", "epochs": 2},
        figures=("trainable", "blocks", "projections", "first loss", "loss"),
        seeds=THREE,
        pictures=("loss.png",),
    ),
}

# Rows that were measured before the code which decides on their figures last changed, by arithmetic.py. A row
# that is run again is taken out; a test holds that none is missing and none is left.
OLDER: tuple[str, ...] = ()
