"""Training: the state, the pure steps, the loop, checkpoints and a run's folder."""

from jaxnets.errors import Interrupted
from jaxnets.machine.distributed import is_writer, join, make_mesh, to_host
from jaxnets.train.callback import Callback, EarlyStopping, RecordLearningRate, ReduceOnPlateau
from jaxnets.train.compiled import fit_compiled
from jaxnets.train.evaluation import Validation, evaluate
from jaxnets.train.io.checkpoint import Checkpoints
from jaxnets.train.io.journal import Keep
from jaxnets.train.io.profiling import Profile
from jaxnets.train.io.tensorboard import TensorBoard
from jaxnets.train.io.trackers import CSVLogger, Trackio, WandB
from jaxnets.train.io.workdir import read_config, read_metrics, write_config
from jaxnets.train.loop import fit
from jaxnets.train.monitor import improvements
from jaxnets.train.state import TrainState, check_input, make_state
from jaxnets.train.step import EvalStep, TrainStep, make_eval_step, make_train_step, normalize
from jaxnets.train.sums import means

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoints",
    "EarlyStopping",
    "EvalStep",
    "Interrupted",
    "Keep",
    "Profile",
    "RecordLearningRate",
    "ReduceOnPlateau",
    "TensorBoard",
    "Trackio",
    "TrainState",
    "TrainStep",
    "Validation",
    "WandB",
    "check_input",
    "evaluate",
    "fit",
    "fit_compiled",
    "improvements",
    "is_writer",
    "join",
    "make_eval_step",
    "make_mesh",
    "make_state",
    "make_train_step",
    "means",
    "normalize",
    "read_config",
    "read_metrics",
    "to_host",
    "write_config",
]
