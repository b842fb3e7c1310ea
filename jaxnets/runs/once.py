"""The folder of a run that is trained as one program, by `fit_compiled`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError
from jaxnets.runs.run import load_run
from jaxnets.train import Checkpoints, TrainState, read_config, read_metrics
from jaxnets.train.io.workdir import CHECKPOINTS, METRICS, locked, write_metrics

Trained = tuple[TrainState, list[dict[str, Any]]]


def train_once(
    workdir: Path, epochs: int, train: Callable[[], Trained]
) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Trains and saves, or reads what a folder holds that was trained before.

    Args:
        workdir: The run's folder, with its config.json; see `runs.open_folder`.
        epochs: Number of epochs that are asked for.
        train: Function that trains, such as a call of `fit_compiled`.

    Returns:
        The variables of the state that was returned, and all records.

    Raises:
        UserError: If the folder holds a run of another number of epochs: one program is not continued.
    """
    if (workdir / METRICS).exists():
        history = list(read_metrics(workdir / METRICS))
        if len(history) != epochs:
            raise UserError(
                f"{workdir} holds a run of {len(history)} epochs, which were one program and cannot be "
                f"continued: give another --workdir, or --epochs {len(history)}"
            )
        print(f"{workdir}: all its {epochs} epochs are done; to train anew give another --workdir")
        return load_run(workdir).variables, history
    state, history = train()
    of_state = [record for record in history if record["step"] <= int(state.step)]
    meta = {"history": of_state, "config": read_config(workdir)}
    with locked(workdir):
        with Checkpoints(workdir / CHECKPOINTS, keep=1) as checkpoints:
            checkpoints.save(int(state.step), {"state": state}, meta)
        write_metrics(workdir / METRICS, history, known=True)  # last: where it is, all is
    return state.variables, history
