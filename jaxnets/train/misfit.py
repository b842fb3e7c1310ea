"""What is said where a network, its state and the batches do not fit each other."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

from jaxnets.errors import UserError, reason

NO_TRAIN = "unexpected keyword argument 'train'"


@contextmanager
def explained(step: str, batch: Mapping[str, Any]) -> Iterator[None]:
    """Adds to an error that arises while a step is traced what the step was traced on, as a note.

    Args:
        step: What is traced, in words ("the training step").
        batch: The batch that it is traced on, or its shapes.

    Raises:
        UserError: If the network's `__call__` does not take `train`.
    """
    try:
        yield
    except (UserError, RuntimeError):  # of the device, such as too little memory
        raise
    except Exception as error:
        if isinstance(error, TypeError) and NO_TRAIN in str(error):
            raise UserError(
                f"{reason(error)}: networks are called with train=True in training steps and train=False "
                "elsewhere, so add `train: bool = False` to its arguments"
            ) from error
        error.add_note(
            f"This arose while jaxnets traced {step} on a batch of {_shapes(batch)}. The network, the state "
            "(of make_state, with the same network, optimizer and shape of an example), the loss and the "
            "batches must fit each other."
        )
        raise


def _shapes(batch: Mapping[str, Any]) -> str:
    """Returns "x float32 (32, 4), y int32 (32,)"; of a resident data set, with the shapes of its rows."""
    size = batch["index"].shape if "resident" in batch else ()
    held = {name: (rows, size + rows.shape) for name, rows in batch.get("resident", {}).items()}
    given = {name: (rows, rows.shape) for name, rows in batch.items() if name in ("x", "y", "weights")}
    return ", ".join(
        f"{name} {jax.tree.leaves(rows)[0].dtype} {shape}" for name, (rows, shape) in (held | given).items()
    )
