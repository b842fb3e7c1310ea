"""The command plan: what a training will take on an accelerator that is not there."""

import json as jsons
import sys
from typing import Literal

from jaxnets.cli import names


def plan(
    name: names.ModelName,
    /,
    *,
    device: Literal["h100", "h200", "a100", "v4", "v5e", "v5p", "v6e"] = "h100",
    topology: str = "1",
    batch: int = 256,
    dtype: Literal["float32", "bfloat16"] = "float32",
    program: Literal["training", "inference"] = "training",
    optimizer: names.Optimizer = "adam",
    augment: tuple[str, ...] = (),
    sharding: Literal["data", "fsdp"] = "data",
    remat: bool = False,
    largest_batch: bool = False,
    json: bool = False,
) -> None:
    """Compile a network's step for a GPU or TPU that is not there, and show its memory, bytes and kernels.

    Args:
        name: Name of a network, as the command `models` lists them.
        device: The accelerator.
        topology: Number of chips, as 8, or grid of TPU chips, as 4x4. The batch is spread over them.
        batch: Examples in a step, over all chips.
        dtype: Type of the arithmetic. Parameters are float32 in both.
        program: A training step as `fit` runs it, data and optimizer included, or a forward pass.
        optimizer: Optimizer, as in Keras.
        augment: Changes of the training images, each as NAME or NAME=A:B: rotation=45 shift=0.15 ...
        sharding: How several chips share the work: data splits batches, fsdp the training state, too.
        remat: Compute activations again in the backward pass, instead of keeping them.
        largest_batch: Look for the largest batch that fits, starting from --batch.
        json: Print one JSON object instead of a page.
    """
    from jaxnets import accelerators
    from jaxnets.machine import set_up_compilers

    set_up_compilers()

    def make(batch: int) -> accelerators.Plan:
        return accelerators.plan(
            name,
            device,
            topology=topology,
            batch=batch,
            dtype=dtype,
            program=program,
            optimizer=optimizer,
            augment=augment,
            sharding=sharding,
            remat=remat,
        )

    def tell(batch: int) -> accelerators.Plan:
        print(f"batch {batch:,} ...", end=" ", file=sys.stderr, flush=True)
        found = make(batch)
        print("fits" if found.fits else "does not fit", file=sys.stderr)
        return found

    if largest_batch:
        chips = accelerators.count_chips(device, topology)
        found = accelerators.largest_batch(tell, batch, chips)
    else:
        found = make(batch)
    print(jsons.dumps(found.to_json(), indent=2) if json else found.to_text())
