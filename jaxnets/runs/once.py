"""The folder of a run that is trained as one program, by `fit_compiled`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError
from jaxnets.runs.folder import open_folder
from jaxnets.runs.run import load_run
from jaxnets.train import Checkpoints, TrainState, read_config, read_metrics
from jaxnets.train.io.workdir import CHECKPOINTS, METRICS, locked, write_metrics

Trained = tuple[TrainState, list[dict[str, Any]]]


def train_once(
    workdir: Path | str | None, name: str, config: Mapping[str, Any], train: Callable[[], Trained]
) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """Trains and saves, or reads what a folder holds that was trained before.

    Args:
        workdir: The folder asked for; None for the default. See `runs.open_folder`.
        name: The name of the default folder.
        config: The configuration, with the number of "epochs".
        train: Function that trains, such as a call of `fit_compiled`.

    Returns:
        The folder, the variables of the state that was returned, and all records.

    Raises:
        UserError: If there is no epoch to train, or the folder holds another run or one of another number of
            epochs: one program is not continued.
    """
    epochs = config["epochs"]
    if epochs < 1:
        raise UserError(f"{epochs} epochs: it must be more than 0")
    workdir = open_folder(workdir, name, config)
    if (workdir / METRICS).exists():
        history = list(read_metrics(workdir / METRICS))
        if len(history) != epochs:
            raise UserError(
                f"{workdir} holds a run of {len(history)} epochs, which were one program and cannot be "
                f"continued: give another --workdir, or --epochs {len(history)}"
            )
        done = f"all its {epochs} epochs are done; to train anew give another --workdir"
        print(f"{workdir}: {done}", file=sys.stderr)  # as `fit` says it
        return workdir, load_run(workdir).variables, history
    state, history = train()
    of_state = [record for record in history if record["step"] <= int(state.step)]
    meta = {"history": of_state, "config": read_config(workdir)}
    with locked(workdir):
        with Checkpoints(workdir / CHECKPOINTS, keep=1) as checkpoints:
            checkpoints.save(int(state.step), {"state": state}, meta)
        write_metrics(workdir / METRICS, history, known=False)  # last: where it is, all is
    return workdir, state.variables, history
