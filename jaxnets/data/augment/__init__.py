"""Augmentation on the device: pure, keyed by (seed, step, example), one affine warp an image.

    augment = compose(rotation(45), shift(0.15, 0.15), zoom(0.5))
    step = make_train_step(model, optimizer, augment=augment)

Images stay what they were, bytes from 0 to 255, so that whatever prepares them for the network does so in
training and at test alike.
"""

from collections.abc import Callable, Iterable, Sequence

import jax

from jaxnets.data.augment import mixing, ops, pixels, randaugment
from jaxnets.data.augment.ops import Op
from jaxnets.data.augment.pipeline import Augment, compose
from jaxnets.data.augment.warp import Fill
from jaxnets.data.source import Features
from jaxnets.errors import UserError, lookup, reason

__all__ = ["OPS", "Augment", "Fill", "Op", "compose", "compose_for", "parse"]

# By the names under which the command line knows them.
OPS: dict[str, Callable[..., Op]] = {
    "rotation": ops.rotation,
    "shift": ops.shift,
    "shear": ops.shearing,
    "zoom": ops.zoom,
    "horizontal_flip": ops.horizontal_flip,
    "vertical_flip": ops.vertical_flip,
    "alternating_flip": ops.alternating_flip,
    "resize": ops.resize,
    "random_crop": ops.random_crop,
    "off_centre_crop": ops.off_centre_crop,
    "random_resized_crop": ops.random_resized_crop,
    "pad_and_crop": ops.pad_and_crop,
    "brightness": pixels.brightness,
    "channel_shift": pixels.channel_shift,
    "colour_jitter": pixels.colour_jitter,
    "cutout": pixels.cutout,
    "rand_augment": randaugment.rand_augment,
    "mixup": mixing.mixup,
    "cutmix": mixing.cutmix,
}


def parse(texts: Iterable[str]) -> list[Op]:
    """Returns the steps that a command line names: "rotation=45", "shift=0.1:0.2", "horizontal_flip".

    Raises:
        UserError: there is no such step, or its numbers are not right.
    """
    steps = []
    for text in texts:
        name, _, numbers = text.partition("=")
        make = lookup(OPS, name, "augmentation")
        try:
            steps.append(make(*(float(number) for number in numbers.split(":") if number)))
        except (TypeError, ValueError) as error:
            summary = (make.__doc__ or "").strip().splitlines()[0]
            raise UserError(
                f"--augment {text}: give its numbers as {name}=A:B ({reason(error)}); {name}: {summary}"
            ) from error
    return steps


def compose_for(features: Features, steps: Sequence[Op], fill: Fill = "nearest") -> Augment | None:
    """Returns `compose(*steps)` for examples like these; None where there are no steps.

    Raises:
        UserError: the examples are not images, or would not keep their shape, which they have at test too.
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
            f"augmentation would make images {shape} of {features.shape}, as they are at test: add a resize"
        )
    return augment
