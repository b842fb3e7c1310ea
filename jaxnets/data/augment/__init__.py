"""Augmentation on the device: pure, keyed by (seed, step, example), with one affine warp per image.

Examples:
    >>> from jaxnets import models, optim, train
    >>> augment = compose(rotation(45), shift(0.15, 0.15), zoom(0.5))
    >>> model, optimizer = models.MODELS["lenet5"](), optim.OPTIMIZERS["adam"](1e-3)
    >>> step = train.make_train_step(model, optimizer, augment=augment)

Images remain bytes from 0 to 255, so that the same preprocessing serves training and evaluation.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import jax

from jaxnets.data.augment.mixing import cutmix, mixup
from jaxnets.data.augment.ops import (
    Op,
    alternating_flip,
    horizontal_flip,
    off_centre_crop,
    pad_and_crop,
    random_crop,
    random_resized_crop,
    resize,
    rotation,
    shearing,
    shift,
    vertical_flip,
    zoom,
)
from jaxnets.data.augment.pipeline import Augment, compose
from jaxnets.data.augment.pixels import brightness, channel_shift, colour_jitter, cutout
from jaxnets.data.augment.randaugment import rand_augment
from jaxnets.data.augment.warp import Fill
from jaxnets.data.source import Features
from jaxnets.errors import UserError, lookup, reason

__all__ = [
    "OPS",
    "Augment",
    "Fill",
    "Op",
    "alternating_flip",
    "brightness",
    "channel_shift",
    "colour_jitter",
    "compose",
    "compose_for",
    "cutmix",
    "cutout",
    "horizontal_flip",
    "mixup",
    "off_centre_crop",
    "pad_and_crop",
    "parse",
    "rand_augment",
    "random_crop",
    "random_resized_crop",
    "resize",
    "rotation",
    "shearing",
    "shift",
    "vertical_flip",
    "zoom",
]

# The steps by their names on the command line.
OPS: dict[str, Callable[..., Op]] = {
    "rotation": rotation,
    "shift": shift,
    "shear": shearing,
    "zoom": zoom,
    "horizontal_flip": horizontal_flip,
    "vertical_flip": vertical_flip,
    "alternating_flip": alternating_flip,
    "resize": resize,
    "random_crop": random_crop,
    "off_centre_crop": off_centre_crop,
    "random_resized_crop": random_resized_crop,
    "pad_and_crop": pad_and_crop,
    "brightness": brightness,
    "channel_shift": channel_shift,
    "colour_jitter": colour_jitter,
    "cutout": cutout,
    "rand_augment": rand_augment,
    "mixup": mixup,
    "cutmix": cutmix,
}


def parse(texts: Iterable[str]) -> list[Op]:
    """Returns the steps named on a command line: "rotation=45", "shift=0.1:0.2", "horizontal_flip".

    Raises:
        UserError: If there is no such step, or its numbers are wrong.
    """
    steps = []
    for text in texts:
        name, _, numbers = text.partition("=")
        make = lookup(OPS, name, "augmentation")
        try:
            values = [float(number) for number in numbers.split(":") if number]
            if not all(map(math.isfinite, values)):
                raise ValueError("its numbers must be finite")
            steps.append(make(*values))
        except (TypeError, ValueError) as error:
            summary = (make.__doc__ or "").strip().splitlines()[0]
            raise UserError(
                f"--augment {text}: give its numbers as {name}=A:B ({reason(error)}); {name}: {summary}"
            ) from error
    return steps


def compose_for(features: Features, steps: Sequence[Op], fill: Fill = "nearest") -> Augment | None:
    """Returns `compose(*steps)` for examples with these features; None if there are no steps.

    Raises:
        UserError: If the examples are not images, or would not keep the shape that they have in evaluation.
    """
    if not steps:
        return None
    augment = compose(*steps, classes=len(features.classes), fill=fill)
    if len(features.shape) != 3 or features.dtype != "uint8":
        raise UserError(f"examples of shape {features.shape} are not images: there is nothing to augment")
    batch = {
        "x": jax.ShapeDtypeStruct((2, *features.shape), features.dtype),
        "y": jax.ShapeDtypeStruct((2,), "int32"),
        "index": jax.ShapeDtypeStruct((2,), "int32"),
    }
    shape = jax.eval_shape(augment, jax.random.PRNGKey(0), 0, batch)["x"].shape[1:]
    if shape != features.shape:
        raise UserError(
            f"augmentation would turn images of {features.shape} into {shape}, unlike at test: add a resize"
        )
    return augment
