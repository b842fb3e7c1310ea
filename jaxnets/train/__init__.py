"""Training: the state, the pure steps, the loop, checkpoints and a run's folder."""

from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.distributed import is_writer, join, make_mesh
from jaxnets.train.fit import Callbacks, evaluate, fit
from jaxnets.train.monitor import early_stopping, improvements, reduce_on_plateau
from jaxnets.train.profile import profile
from jaxnets.train.state import TrainState, check_input, make_state
from jaxnets.train.step import make_eval_step, make_train_step, means, normalise
from jaxnets.train.tensorboard import tensorboard
from jaxnets.train.whole import fit_whole
from jaxnets.train.workdir import claim, read_config, read_metrics

__all__ = [
    "Callbacks",
    "Checkpoints",
    "TrainState",
    "check_input",
    "claim",
    "early_stopping",
    "evaluate",
    "fit",
    "fit_whole",
    "improvements",
    "is_writer",
    "join",
    "make_eval_step",
    "make_mesh",
    "make_state",
    "make_train_step",
    "means",
    "normalise",
    "profile",
    "read_config",
    "read_metrics",
    "reduce_on_plateau",
    "tensorboard",
]
