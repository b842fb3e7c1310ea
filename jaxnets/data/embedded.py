"""Data sets that come with scikit-learn, so that there is nothing to download."""

import numpy as np

from jaxnets import hints
from jaxnets.data.source import ArraySource, Dataset
from jaxnets.errors import UserError


def _sklearn():
    try:
        import sklearn.datasets
    except ImportError as error:
        raise UserError(
            "the embedded data sets digits and iris come with scikit-learn, which is not installed: "
            f"{hints.install('scikit-learn')}"
        ) from error
    return sklearn.datasets


def _split(name: str, x: np.ndarray, y: np.ndarray, seed: int, classes: list[str]) -> Dataset:
    """Holds out a fixed fifth: the last rows of one fixed shuffle, whatever the seed of the training."""
    order = np.random.RandomState(seed).permutation(len(x))
    cut = len(x) - len(x) // 5
    train, test = order[:cut], order[cut:]
    return Dataset(name, ArraySource(x[train], y[train], classes), ArraySource(x[test], y[test], classes))


def digits() -> Dataset:
    """Returns 1,797 handwritten digits (8x8 in scikit-learn) as uint8 (28, 28, 1), white ink on black."""
    from PIL import Image

    bunch = _sklearn().load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    size, resample = (28, 28), Image.Resampling.BILINEAR
    x = np.stack([np.asarray(Image.fromarray(image).resize(size, resample)) for image in grey])[..., None]
    return _split("digits", x, bunch.target, 0, [str(digit) for digit in range(10)])


def iris() -> Dataset:
    """Returns 150 irises as float32 (4,), in centimetres, in the document's shuffle (seed 116)."""
    bunch = _sklearn().load_iris()
    return _split("iris", bunch.data, bunch.target, 116, [str(name) for name in bunch.target_names])


def photos() -> ArraySource:
    """Returns scikit-learn's two photographs, china.jpg and flower.jpg, as uint8 (427, 640, 3)."""
    sets = _sklearn()
    x = np.stack([sets.load_sample_image(f"{name}.jpg") for name in ("china", "flower")])
    return ArraySource(x, np.arange(2), ["china", "flower"])


# Names of the columns of tables, in the order of an example's numbers
COLUMNS = {"iris": ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")}

EMBEDDED = {"digits": digits, "iris": iris}
