"""The steps of an augmentation as one pure function of a batch, with one affine warp per image."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.data.augment.ops import Draw, Op
from jaxnets.data.augment.warp import Fill, move_boxes, resample, stretch, then, warp
from jaxnets.errors import UserError

Augment = Callable[[jax.Array, jax.Array, Mapping[str, Any]], dict[str, Any]]

EACH_NUMBER = jax.vmap(jax.random.fold_in, (None, 0))
EACH_KEY = jax.vmap(jax.random.fold_in, (0, None))
SALT = 0x617567  # keeps these draws apart from dropout's, which come from the same seed


def compose(
    *steps: Op,
    classes: int | None = None,
    fill: Fill = "nearest",
    value: float = 0.0,
    antialias: bool = False,
) -> Augment:
    """Returns a pure function that augments a batch.

    The geometric steps, in the order given, become one matrix and one warp; then come colours, then mixing.

    Args:
        steps: The steps (`OPS` lists all).
        classes: Number of classes, required for mixing, which turns labels (B,) into proportions
            (B, classes).
        fill: What lies outside an image: "nearest", "constant", "reflect" or "wrap"; see `warp`.
        value: Value of the constant fill, 0 to 255.
        antialias: Whether to average over pixels where an image shrinks; only with crops, flips, shifts and
            resizing.

    Returns:
        A function (key, step, batch) -> batch. The key depends only on the seed. A batch has "x", uint8
        (B, H, W, C), and "index" (B,). If it has "boxes" (B, ..., 4), they follow the geometry. If it has
        "size" (B, 2), each image's (height, width) before it was scaled to (H, W), crops are taken from that.

    Raises:
        UserError: If mixing is given without `classes`, antialiasing with rotation or shear, or a batch
            without images.
    """
    if antialias and not all(step.aligned for step in steps):
        raise UserError(
            "antialiasing goes with crops, flips, shifts and resizing, not with rotation or shear"
        )
    mixing = [step.mix for step in steps]
    if any(mixing) and classes is None:
        raise UserError("mixing examples needs the number of classes, to mix their labels")
    bends = any(step.geometry for step in steps)

    def change(draw: Draw, image: jax.Array, size: Any, boxes: Any) -> tuple[jax.Array, Any]:
        """Augments one image, float32 (H, W, C), and its boxes (..., 4)."""
        if bends:
            stored = shape = (image.shape[0], image.shape[1])
            size = stored if size is None else (size[0], size[1])
            whole = stretch(stored[0] / size[0], stored[1] / size[1])
            for number, step in enumerate(steps):
                if step.geometry:
                    bent, size = step.geometry(_of(draw, number), size)
                    whole, shape = then(whole, bent), step.shape or shape
            whole = then(whole, stretch(size[0] / shape[0], size[1] / shape[1]))
            image = resample(image, whole, shape) if antialias else warp(image, whole, shape, fill, value)
            if boxes is not None:
                boxes = move_boxes(boxes, whole, stored, shape)
        for number, step in enumerate(steps):
            if step.pixels:
                image = step.pixels(_of(draw, number), image)
        return image, boxes

    def augment(key: jax.Array, step: jax.Array, batch: Mapping[str, Any]) -> dict[str, Any]:
        x, batch = batch["x"], dict(batch)
        if x.ndim != 4 or x.dtype != jnp.uint8:
            raise UserError(f"augmentation is for images, uint8 (B, H, W, C), not {x.dtype} {x.shape}")
        fixed = EACH_NUMBER(jax.random.fold_in(key, SALT), batch["index"])
        keys = EACH_KEY(fixed, step)
        images, boxes = jax.vmap(lambda key, fixed, *rest: change(Draw(key, fixed, step), *rest))(
            keys, fixed, x.astype(jnp.float32), batch.pop("size", None), batch.get("boxes")
        )
        if boxes is not None:
            batch["boxes"] = boxes
        if classes is not None and any(mixing):
            y = batch["y"]
            y = jax.nn.one_hot(y, classes) if jnp.issubdtype(y.dtype, jnp.integer) else y
            for number, mix in enumerate(mixing):
                if mix:
                    images, y = mix(EACH_KEY(keys, number), images, y)
            batch["y"] = y
        return {**batch, "x": jnp.clip(jnp.round(images), 0, 255).astype(jnp.uint8)}

    return augment


def _of(draw: Draw, number: int) -> Draw:
    """Returns the draws of one of several steps."""
    return Draw(jax.random.fold_in(draw.key, number), jax.random.fold_in(draw.fixed, number), draw.step)
